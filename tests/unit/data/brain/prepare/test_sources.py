import pytest

from data.brain.prepare.sources import find_sources
from protocol.errors import DataError, SettingsError


@pytest.fixture
def folder(tmp_path):
    def make(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(name)
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
    assert "2 of 4 files are used" in found.notes[0]
    assert "2 of other contrasts (a_flair.nii, a_t2.nii)" in found.notes[0]
    assert "1 name no contrast and are taken for t1 (plain.nii.gz)" in found.notes[1]


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
    with pytest.raises(DataError, match="has no volume's file"):
        find_sources(tmp_path, "t1")
    with pytest.raises(DataError, match="there is no file or folder"):
        find_sources(tmp_path / "gone", "t1")
    folder("a_t1.nii", "notes.txt", "x/a_t1.nii.gz")
    with pytest.raises(DataError, match="is not a volume's file by its name"):
        find_sources(tmp_path / "notes.txt", "t1")
    with pytest.raises(DataError, match="are both of a subject a"):
        find_sources(tmp_path, "t1")
    with pytest.raises(DataError, match="has no t2 volume among its 2 files"):
        find_sources(tmp_path, "t2")


def kinds_left_out(found):
    return found.notes[0].partition("left out: ")[2]


def test_the_names_of_brats_2023_are_known(folder):
    words = ("t1n", "t1c", "t2w", "t2f", "seg")
    found = find_sources(folder(*(f"BraTS-GLI-00000-000-{word}.nii.gz" for word in words)), "t1")
    (one,) = found.found
    assert (one.subject, one.image.name) == (
        "BraTS-GLI-00000-000",
        "BraTS-GLI-00000-000-t1n.nii.gz",
    )
    assert one.segmentation.name == "BraTS-GLI-00000-000-seg.nii.gz"
    assert "3 of other contrasts" in kinds_left_out(found)


def test_patients_of_brats_without_a_segmentation_are_not_taken_for_healthy(folder):
    with pytest.raises(DataError, match=r"1 volumes are of BraTS.*count as healthy"):
        find_sources(folder("BraTS2021_00000_t1.nii.gz"), "t1")


@pytest.mark.parametrize(
    "label",
    [
        "sub-01_dseg",
        "sub-01_label-GM_probseg",
        "sub-01_space-T1w_desc-aparcaseg_dseg",
        "sub-02_ct",
        "sub-01_T1wKS",
        "sub-01_defacemask",
        "sub-01_T1w_label-GM_mask",
    ],
)
def test_label_maps_and_scans_of_another_kind_are_no_brains(folder, label):
    found = find_sources(folder("sub-01_T1w.nii.gz", f"{label}.nii.gz"), None)
    assert subjects(found) == ["sub-01"]
    assert f"{label}.nii.gz" in kinds_left_out(found)


@pytest.mark.parametrize(
    "label",
    [
        "sub-01_label-lesion_roi",
        "sub-01_space-orig_label-lesion_mask",
        "sub-01_consensus_gt",
        "sub-01_lesion_mask",
        "sub-01_T1w_seg",
        "sub-01_T1w_label-lesion_roi",
        "sub-01_desc-lesion_roi",
    ],
)
def test_segmentations_of_lesions_are_known_by_their_words(folder, label):
    (one,) = find_sources(folder("sub-01_T1w.nii.gz", f"{label}.nii.gz"), None).found
    assert one.segmentation.name == f"{label}.nii.gz"
    assert one.mask is None


@pytest.mark.parametrize("label", ["sub-01_brainmask", "sub-01_desc-brain_mask", "sub-01_T1w_mask"])
def test_masks_of_brains_are_known_by_their_words(folder, label):
    (one,) = find_sources(folder("sub-01_T1w.nii.gz", f"{label}.nii.gz"), None).found
    assert (one.mask.name, one.segmentation) == (f"{label}.nii.gz", None)


def test_a_person_with_lesions_in_one_session_is_not_healthy_in_another(folder):
    found = find_sources(
        folder(
            "sub-01_ses-1_T1w.nii.gz",
            "sub-01_ses-1_label-lesion_roi.nii.gz",
            "sub-01_ses-2_T1w.nii.gz",
            "sub-02_T1w.nii.gz",
        ),
        None,
    )
    assert subjects(found) == ["sub-01_ses-1", "sub-02"]
    assert "1 of persons with lesions" in kinds_left_out(found)


def test_words_that_are_not_known_are_named_and_not_taken(folder):
    found = find_sources(folder("a_T1w.nii", "b_T1w_seg2.nii", "c_T1w_brain.nii"), "t1")
    assert subjects(found) == ["a", "c"]
    assert "words that are not known (seg2)" in kinds_left_out(found)


def test_sessions_and_runs_are_volumes_of_one_person(folder):
    names = ["sub-01_ses-1_T1w.nii.gz", "sub-01_ses-2_run-2_T1w.nii.gz", "sub-02_T1w.nii.gz"]
    found = find_sources(folder(*names), None)
    assert [one.person for one in found.found] == ["sub-01", "sub-01", "sub-02"]
    assert "1 persons have several volumes" in found.notes[1]


def test_files_that_are_called_by_their_contrast_are_their_folders(folder):
    found = find_sources(folder("sub1/T1.nii.gz", "sub1/mask.nii.gz", "sub2/T1.nii.gz"), None)
    assert subjects(found) == ["sub1", "sub2"]
    assert [one.mask is not None for one in found.found] == [True, False]


def test_a_volume_that_is_there_twice_is_used_once(folder, tmp_path):
    folder("a_t1.nii.gz")
    (tmp_path / "b_t1.nii.gz").write_bytes((tmp_path / "a_t1.nii.gz").read_bytes())
    found = find_sources(tmp_path, None)
    assert subjects(found) == ["a"]
    assert "1 copies of others (b_t1.nii.gz)" in kinds_left_out(found)


def test_two_segmentations_of_one_volume_are_refused(folder):
    with pytest.raises(DataError, match="are both lesions of"):
        find_sources(folder("a_t1.nii", "a_seg.nii", "a_lesion_mask.nii"), None)


def test_persons_are_found_by_a_pattern_where_one_is_given(folder):
    root = folder("anna/one_t1.nii", "anna/two_t1.nii", "ben/three_t1.nii")
    found = find_sources(root, None, r"^(\w+)/").found
    assert [(one.subject, one.person) for one in found] == [
        ("one", "anna"),
        ("three", "ben"),
        ("two", "anna"),
    ]


def test_a_word_that_only_begins_as_the_contrast_is_not_taken_for_it(folder):
    found = find_sources(folder("a_T2.nii.gz", "a_T2S.nii.gz"), None)
    assert [one.image.name for one in found.found] == ["a_T2.nii.gz"]
    assert "a_T2S.nii.gz" in kinds_left_out(found)
