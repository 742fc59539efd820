import json

import numpy as np
import pytest

from data.brain.dataset import BrainSettings, BrainSlices, BrainVolumes, available_folds
from data.brain.lists import healthy_cases, lesion_cases
from data.brain.prepare.anatomy import draw_brain
from data.brain.prepare.prepare import prepare_brain
from data.brain.prepare.settings import BrainPrepareSettings
from data.brain.volume import write_upright
from protocol.errors import DataError

SIDES = (1.5, 1.25, 1.25)  # of heads of half the usual size, to be quick


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """Five small heads without masks, and two with a mask and lesions of their own."""
    folder = tmp_path_factory.mktemp("scans")
    for number in range(7):
        brain = draw_brain(0, number, (20, 48, 48))
        name = f"sub-{number}"
        write_upright(folder / f"{name}_T2w.nii.gz", brain.images["t2"] * 700, SIDES)
        if number >= 5:
            lesion = np.zeros_like(brain.mask)
            lesion[6:9, 10:14, 8:12] = True
            write_upright(folder / f"{name}_mask.nii.gz", brain.mask, SIDES)
            write_upright(folder / f"{name}_seg.nii.gz", lesion, SIDES)
    return folder


def prepare(source, out, **changes):
    said = []
    prepare_brain(
        BrainPrepareSettings(source=source, out=out, **changes), said.append, lambda done, all: None
    )
    return "\n".join(said)


def reading(root, **changes):
    return BrainSettings(root=root, crop=(60, 60, 30), size=(30, 30, 15), **changes)


@pytest.fixture(scope="module")
def prepared(scans, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "set"
    return out, prepare(scans, out, lesions="synthetic", folds=2)


def test_what_is_written_is_what_the_readers_read(prepared):
    out, _ = prepared
    assert available_folds(reading(out)) == 2
    dataset = BrainSlices(reading(out), "train")
    image, mask = dataset[0]["image"], dataset[0]["mask"]
    assert image.shape == (1, 30, 30)
    assert 0.1 < image[mask > 0].mean() < 0.9
    volumes = list(BrainVolumes(reading(out), "test", "healthy"))
    assert all(volume.mask.sum() > 2000 for volume in volumes)
    for volume in volumes:  # the brain is in the middle
        middle = np.argwhere(volume.mask).mean(axis=0)
        assert np.all(np.abs(middle - (np.array(volume.mask.shape) - 1) / 2) < 3)


def test_lesions_are_synthetic_in_one_set_and_own_in_the_other(prepared):
    out, _ = prepared
    for split in ("validation", "test"):
        sets = {v.dataset for v in BrainVolumes(reading(out), split, "lesion")}
        assert sets == {"Own", "Synthetic"}
        for volume in BrainVolumes(reading(out), split, "lesion"):
            assert volume.segmentation.any()
    own = lesion_cases(out, "Own", "validation", "t2") + lesion_cases(out, "Own", "test", "t2")
    assert sorted(case.subject for case in own) == ["sub-5", "sub-6"]
    healthy = {case.subject for case in healthy_cases(out, "train", 0, "t2")}
    assert not healthy & {"sub-5", "sub-6"}


def test_a_volume_with_lesions_differs_from_its_healthy_twin_only_near_them(prepared):
    out, _ = prepared
    ill = next(v for v in BrainVolumes(reading(out), "test", "lesion") if v.dataset != "Own")
    twin = next(v for v in BrainVolumes(reading(out), "test", "healthy") if v.name == ill.name)
    changed = np.abs(ill.image - twin.image)
    assert changed[ill.segmentation].mean() > 5 * changed[~ill.segmentation].mean()


def test_the_record_and_the_output_say_where_everything_comes_from(prepared):
    out, said = prepared
    record = json.loads((out / "made_from.json").read_text())
    assert record["splits_share_people"] is False
    assert record["modality"] == "t2"
    assert record["subjects"]["sub-0"] | {"remarks": None} == {
        "source": "sub-0_T2w.nii.gz",
        "variant": 0,
        "mask": "method nonzero",
        "remarks": None,
    }
    assert "no brain of a grown person" in record["subjects"]["sub-0"]["remarks"][0]
    assert record["notes"][0] == "7 t2 volumes, 2 of them segmented."
    assert "LOOK AT sub-0_T2w.nii.gz: 0.0" in said
    assert record["subjects"]["sub-6"]["mask"] == "sub-6_mask.nii.gz"
    assert "Split by subject." in said
    assert "sub-0_T2w.nii.gz: 0." in said
    assert "l of brain, mask from method nonzero" in said


def test_one_volume_gives_a_whole_set_that_says_it_is_one_person(scans, tmp_path):
    out = tmp_path / "one"
    said = prepare(scans / "sub-1_T2w.nii.gz", out, variants=4, lesions="synthetic")
    assert "ALL COME FROM ONE PERSON" in said
    assert json.loads((out / "made_from.json").read_text())["splits_share_people"] is True
    train = BrainSlices(reading(out), "train")
    assert len(train) == 1
    assert set(train.subjects) < {f"sub-1-v{number:03d}" for number in range(4)}
    for split in ("validation", "test"):
        (ill,) = BrainVolumes(reading(out), split, "lesion")
        assert ill.segmentation.any()


def test_a_taken_folder_and_a_damaged_scan_leave_everything_as_it_was(scans, tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.tex").touch()
    with pytest.raises(DataError, match="exists already"):
        prepare(scans, tmp_path / "taken")
    (tmp_path / "in").mkdir()
    content = (scans / "sub-0_T2w.nii.gz").read_bytes()
    (tmp_path / "in" / "a_t2.nii.gz").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"a_t2\.nii\.gz is truncated or damaged"):
        prepare(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".out.partial*"))
