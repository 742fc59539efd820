from pathlib import Path

import pytest
from pydantic import ValidationError

from data.prepare.stand_ins import WANTED
from data.scans.volume import Scan
from data.xray_ct.prepare.plan import plan_pairs
from data.xray_ct.prepare.settings import XrayCtPrepareSettings


def scans(*patients):
    return [
        Scan(name=f"{patient}-{number}.nii.gz", patient=patient, read=None)
        for number, patient in enumerate(patients)
    ]


@pytest.fixture
def settings():
    def make(**changes):
        return XrayCtPrepareSettings(source=Path("x"), out=Path("y"), **changes)

    return make


def by_split(plan):
    return {
        split: {pair.patient for pair in plan.pairs if pair.split == split}
        for split in ("train", "validation", "test")
    }


def test_patients_are_shared_out_whole_with_all_their_scans_and_variants(settings):
    plan = plan_pairs(settings(variants=3), scans(*"abcdefgh", "a"))
    assert len(plan.pairs) == 27
    groups = by_split(plan)
    assert sum(map(len, groups.values())) == 8
    assert all(groups.values())
    assert not plan.from_same_people
    assert plan.notes[-1] == "Split by patient."


def test_patients_ids_are_replaced_by_numbers(settings):
    plan = plan_pairs(settings(), scans("Doe^John", "b", "c"))
    assert {pair.patient for pair in plan.pairs} == {f"patient{n:04d}" for n in range(3)}


@pytest.mark.parametrize("patients", ["a", "ab"])
def test_variants_stand_in_for_patients_that_are_too_few_and_it_says_so_loudly(settings, patients):
    plan = plan_pairs(settings(), scans(*patients))
    assert len(plan.pairs) == WANTED
    assert all(by_split(plan).values())
    assert plan.from_same_people
    assert "ALL COME FROM" in plan.notes[-1]
    assert len({pair.name for pair in plan.pairs}) == WANTED
    assert [pair.variant for pair in plan.pairs[:3]] == [0, 1, 2]


def test_a_single_scan_gives_a_pair_for_each_split_at_least(settings):
    plan = plan_pairs(settings(variants=1), scans("a"))
    assert [len(group) for group in by_split(plan).values()] == [1, 1, 1]


def test_the_seed_decides_the_split(settings):
    def splits(seed):
        return [pair.split for pair in plan_pairs(settings(seed=seed), scans(*"abcdefghij")).pairs]

    assert splits(0) == splits(0)
    assert len({tuple(splits(seed)) for seed in range(5)}) > 1


def test_scans_get_names_that_files_may_have_each_another_one(settings):
    found = [
        Scan(name=name, patient=name + str(place), read=None)
        for place, name in enumerate(["a b/c.nii.gz", "s.nii", "s.nii", "...", "s-001.nii"])
    ]
    names = [pair.name for pair in plan_pairs(settings(), found).pairs]
    assert names == ["a_b_c", "s-001x", "s-002", "scan", "s-001"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"intensity_range": (5, 5)}, "the first must be the smaller"),
        ({"source_isocentre": 900, "source_detector": 800}, "source_detector: found 800"),
        ({"energy": 5}, "energy"),
        ({"size": 4}, "size"),
        ({"photons": 0}, "photons"),
    ],
)
def test_options_that_make_no_sense_are_refused(settings, changes, words):
    with pytest.raises(ValidationError, match=words):
        settings(**changes)
