import json

import numpy as np

from data.xray_ct_format import Pair
from data.xray_ct_splits import read_splits
from data.xray_ct_writer import XrayCtWriter


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
