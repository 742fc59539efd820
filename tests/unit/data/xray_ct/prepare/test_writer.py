import json

import numpy as np
import pytest

from data.xray_ct.layouts.format import Pair
from data.xray_ct.prepare.writer import XrayCtWriter, check_xray_ct_destination
from data.xray_ct.splits import read_splits
from protocol.errors import DataError


def test_a_written_set_says_who_is_where_how_large_and_from_what(tmp_path):
    writer = XrayCtWriter(tmp_path, "x2ct_gan")
    pair = Pair(
        hu=np.zeros((4, 5, 6), np.float32),
        voxel_size=(3.0, 2.0, 1.0),
        xrays=np.zeros((2, 4, 4), np.float32),
    )
    writer.add("a", "p1", "train", pair)
    writer.add("b", "p2", "test", pair)
    writer.finish({"made": "here"})
    rows = [("a", "p1", "train"), ("b", "p2", "test")]
    assert read_splits(tmp_path / "splits.csv") == rows
    note = json.loads((tmp_path / "xray_ct.json").read_text())
    assert note == {
        "layout": "x2ct_gan",
        "axes": "IPL",
        "made": "here",
        "voxel_size_mm": {"a": [3.0, 2.0, 1.0], "b": [3.0, 2.0, 1.0]},
    }


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
