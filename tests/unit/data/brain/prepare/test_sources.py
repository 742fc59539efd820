import pytest

from data.brain.prepare.sources import find_sources
from protocol.errors import DataError, SettingsError


@pytest.fixture
def folder(tmp_path):
    def make(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        return tmp_path

    return make


def subjects(sources):
    return [one.subject for one in sources.found]


def test_subjects_are_names_up_to_the_contrast_in_any_common_spelling(folder):
    names = ["IXI002-Guys-0828-T2.nii.gz", "sub-01/anat/sub-01_T2w.nii.gz", "b_t2.nii"]
    found = find_sources(folder(*names), None)
    assert found.contrast == "t2"
    assert subjects(found) == ["IXI002-Guys-0828", "b", "sub-01"]


def test_other_contrasts_are_left_out_and_names_without_one_are_taken(folder):
    found = find_sources(folder("a_t1.nii", "a_t2.nii", "a_flair.nii", "plain.nii.gz"), "t1")
    assert subjects(found) == ["a", "plain"]
    assert sorted(path.name for path in found.left_out) == ["a_flair.nii", "a_t2.nii"]


def test_masks_and_segmentations_beside_belong_to_their_subject(folder):
    names = ["a_t2.nii.gz", "a_mask.nii.gz", "b_t2.nii.gz", "b_t2_mask.nii.gz", "b_seg.nii.gz"]
    a, b = find_sources(folder(*names), "t2").found
    assert (a.mask.name, a.segmentation) == ("a_mask.nii.gz", None)
    assert (b.mask.name, b.segmentation.name) == ("b_t2_mask.nii.gz", "b_seg.nii.gz")


def test_a_single_file_finds_the_mask_in_its_folder(folder):
    source = folder("t1_head.nii.gz", "t1_head_mask.nii.gz", "other.nii.gz") / "t1_head.nii.gz"
    found = find_sources(source, None)
    assert found.contrast == "t1"
    assert subjects(found) == ["t1_head"]
    assert found.found[0].mask.name == "t1_head_mask.nii.gz"


def test_a_contrast_that_names_do_not_tell_is_asked_for(folder):
    with pytest.raises(SettingsError, match=r"--modality: .* no contrast in the files' names"):
        find_sources(folder("head.nii"), None)
    with pytest.raises(SettingsError, match=r"--modality: .* t1 and t2 files"):
        find_sources(folder("a_t1.nii", "a_t2.nii"), None)


def test_what_cannot_be_used_is_one_sentence(folder, tmp_path):
    with pytest.raises(DataError, match="has no NIfTI file"):
        find_sources(tmp_path, "t1")
    with pytest.raises(DataError, match="there is no file or folder"):
        find_sources(tmp_path / "gone", "t1")
    folder("a_t1.nii", "notes.txt", "x/a_t1.nii.gz")
    with pytest.raises(DataError, match="is not a volume's file by its name"):
        find_sources(tmp_path / "notes.txt", "t1")
    with pytest.raises(DataError, match="are both of a subject a"):
        find_sources(tmp_path, "t1")
    with pytest.raises(DataError, match="has no t2 volume among its 2 NIfTI files"):
        find_sources(tmp_path, "t2")
