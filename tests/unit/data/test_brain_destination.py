import pytest

from data.brain_destination import check_brain_destination
from orchestrator.errors import DataError


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
