import pytest

from data.xray_ct_destination import check_xray_ct_destination
from orchestrator.errors import DataError


@pytest.mark.parametrize("layout", ["diffx2ct", "nifti_png", "x2ct_gan"])
def test_a_set_made_here_may_be_replaced_only_if_that_is_asked_for(chests, layout):
    root = chests(layout)
    (root / ".cache").mkdir()
    check_xray_ct_destination(root, overwrite=True)
    with pytest.raises(DataError, match="exists already"):
        check_xray_ct_destination(root, overwrite=False)


def test_what_is_no_part_of_the_set_keeps_it_from_being_replaced(chests):
    root = chests("x2ct_gan")
    (root / "thesis").mkdir()
    with pytest.raises(DataError, match="holds thesis"):
        check_xray_ct_destination(root, overwrite=True)


def test_a_set_that_was_not_made_here_is_never_replaced(chests):
    root = chests("x2ct_gan")
    (root / "xray_ct.json").unlink()
    with pytest.raises(DataError, match="was not made by this command"):
        check_xray_ct_destination(root, overwrite=True)


def test_a_new_or_empty_folder_is_free_and_a_file_is_not(tmp_path):
    check_xray_ct_destination(tmp_path / "new", overwrite=False)
    check_xray_ct_destination(tmp_path, overwrite=False)
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="is a file"):
        check_xray_ct_destination(tmp_path / "file", overwrite=True)
