import pytest

from data.lodopab.prepare.assignment import Slab, assign
from data.scans.volume import Scan
from data.splits import SPLITS
from protocol.errors import DataError

FRACTIONS = (0.8, 0.1, 0.1)


def whole(patient: str, slices: int, name: str = "") -> Slab:
    def read():
        raise AssertionError("the split needs no voxels")

    scan = Scan(name=name or f"{patient}.nii", patient=patient, read=read)
    return Slab(scan=scan, slices=tuple(range(100, 100 + slices)), patient=patient)


def patients(assignment, split):
    return {slab.patient for slab in assignment.slabs[split]}


@pytest.mark.parametrize(("count", "expected"), [(3, (1, 1, 1)), (10, (8, 1, 1)), (25, (20, 3, 2))])
def test_three_or_more_patients_are_shared_out_whole(count, expected):
    slabs = [whole(f"p{number}", 7) for number in range(count)]
    found = assign(slabs, FRACTIONS, gap=5, seed=0)
    sets = [patients(found, split) for split in SPLITS]
    assert tuple(map(len, sets)) == expected
    assert set.union(*sets) == {slab.patient for slab in slabs}
    assert sum(found.count(split) for split in SPLITS) == 7 * count
    assert "patient" in found.note


def test_scans_of_one_patient_stay_together():
    slabs = [whole(f"p{number % 5}", 3, name=f"{number}.nii") for number in range(20)]
    found = assign(slabs, (0.4, 0.3, 0.3), gap=5, seed=1)
    sets = [patients(found, split) for split in SPLITS]
    assert sum(map(len, sets)) == 5
    assert sum(found.count(split) for split in SPLITS) == 60


def test_the_seed_decides_who_goes_where():
    slabs = [whole(f"p{number}", 3) for number in range(30)]
    found = [patients(assign(slabs, FRACTIONS, gap=0, seed=s), "test") for s in (0, 0, 1)]
    assert found[0] == found[1] != found[2]


def test_a_single_scan_is_cut_into_slabs_with_gaps():
    found = assign([whole("p", 110)], FRACTIONS, gap=5, seed=0)
    slabs = [found.slabs[split][0].slices for split in SPLITS]
    assert [len(slab) for slab in slabs] == [80, 10, 10]
    for slab in slabs:
        assert list(slab) == list(range(slab[0], slab[-1] + 1))
    assert slabs[1][0] - slabs[0][-1] == slabs[2][0] - slabs[1][-1] == 6
    assert len({found.slabs[split][0].patient for split in SPLITS}) == 3
    assert "One patient only" in found.note
    assert "5 slices apart" in found.note


def test_of_two_patients_the_larger_trains_and_the_other_is_cut():
    found = assign([whole("small", 25), whole("large", 60)], FRACTIONS, gap=5, seed=0)
    assert patients(found, "train") == {"large"}
    assert found.count("train") == 60
    assert found.count("validation") == found.count("test") == 10
    assert "Two patients" in found.note


def test_too_few_slices_for_slabs_is_an_error_that_names_the_scan():
    assign([whole("p", 13)], FRACTIONS, gap=5, seed=0)
    with pytest.raises(DataError, match=r"p.nii has 12 usable slices, too few for 3 slabs"):
        assign([whole("p", 12)], FRACTIONS, gap=5, seed=0)


def test_several_scans_of_a_single_patient_are_not_cut():
    with pytest.raises(DataError, match=r"2 scans are of one patient.*--series_are_patients"):
        assign([whole("p", 50), whole("p", 50)], FRACTIONS, gap=5, seed=0)
