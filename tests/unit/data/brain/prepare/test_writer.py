import numpy as np
import pytest

from data.brain.lists import healthy_cases, lesion_cases
from data.brain.prepare.writer import BrainWriter, check_brain_destination
from data.brain.volume import read_upright
from protocol.errors import DataError

SIZES = (3.0, 2.0, 2.0)


def test_a_subject_may_be_healthy_in_one_list_and_have_lesions_in_another(tmp_path):
    rng = np.random.default_rng(0)
    plain, ill = rng.random((2, 4, 5, 6), dtype=np.float32)
    mask = rng.random((4, 5, 6)) > 0.3
    labels = mask & (rng.random((4, 5, 6)) > 0.7)
    writer = BrainWriter(tmp_path)
    writer.healthy("a", {"t1": plain}, mask, SIZES)
    writer.lesions("a", "Own", {"t1": ill}, mask, labels, SIZES)
    writer.healthy_list("test", 0, ["a"])
    writer.lesion_list("Own", "test", ["a"])
    writer.finish()
    (healthy,) = healthy_cases(tmp_path, "test", 0, "t1")
    (lesion,) = lesion_cases(tmp_path, "Own", "test", "t1")
    assert healthy.image == tmp_path / "Data/Train/ixi/t1/a_t1.nii.gz"
    assert lesion.segmentation == tmp_path / "Data/Test/Own/seg/a_seg.nii.gz"
    assert np.allclose(read_upright(healthy.image).values, plain, atol=1e-4)
    assert np.allclose(read_upright(lesion.image).values, ill, atol=1e-4)
    assert np.array_equal(read_upright(lesion.segmentation).values, labels)
    assert np.array_equal(read_upright(lesion.mask).values, mask)


def test_subjects_with_a_t2_volume_are_listed(tmp_path):
    image, mask = np.ones((2, 2, 2), dtype=np.float32), np.ones((2, 2, 2), dtype=bool)
    writer = BrainWriter(tmp_path)
    writer.healthy("one", {"t1": image}, mask, SIZES)
    writer.healthy("both", {"t1": image, "t2": image}, mask, SIZES)
    writer.healthy_list("test", 0, ["one", "both"])
    writer.finish()
    assert [c.subject for c in healthy_cases(tmp_path, "test", 0, "t2")] == ["both"]
    assert [c.subject for c in healthy_cases(tmp_path, "test", 0, "t1")] == ["one", "both"]


def test_an_empty_place_is_free_and_a_taken_one_is_not(tmp_path):
    check_brain_destination(tmp_path / "new", overwrite=False)
    check_brain_destination(tmp_path, overwrite=False)
    (tmp_path / "made_from.json").touch()
    with pytest.raises(DataError, match="exists already; give --overwrite"):
        check_brain_destination(tmp_path, overwrite=False)
    check_brain_destination(tmp_path, overwrite=True)


def test_scans_that_were_not_made_here_are_never_overwritten(tmp_path):
    (tmp_path / "Data").mkdir()
    with pytest.raises(DataError, match=r"has no made_from\.json.* may hold scans"):
        check_brain_destination(tmp_path, overwrite=True)


def test_what_is_no_part_of_a_data_set_is_never_overwritten(tmp_path):
    for name in ("made_from.json", "thesis.tex"):
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=r"holds thesis\.tex"):
        check_brain_destination(tmp_path, overwrite=True)
    with pytest.raises(DataError, match="is a file, expected a folder"):
        check_brain_destination(tmp_path / "thesis.tex", overwrite=True)
