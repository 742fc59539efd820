import shutil
from collections import namedtuple

import pytest

from data.caches.atomic_folder import is_filled
from data.geometry import ParallelGeometry
from data.lodopab.prepare.writer import check_destination, check_room
from protocol.errors import DataError


def test_a_folder_that_is_missing_or_empty_is_free(tmp_path):
    for overwrite in (False, True):
        check_destination(tmp_path / "new", overwrite=overwrite)
        check_destination(tmp_path, overwrite=overwrite)
    assert not is_filled(tmp_path)


def test_a_data_set_is_replaced_only_when_asked(lodopab):
    lodopab.split("train", 2)
    lodopab.patients("train", ["1", "2"])
    (lodopab.root / "made_from.json").write_text("{}")
    (lodopab.root / ".cache").mkdir()  # reconstructions of it, which go with it
    with pytest.raises(DataError, match="exists already; give --overwrite"):
        check_destination(lodopab.root, overwrite=False)
    check_destination(lodopab.root, overwrite=True)


def test_a_folder_with_anything_else_in_it_is_never_replaced(lodopab):
    lodopab.split("train", 2)
    (lodopab.root / "thesis.tex").write_text("")
    with pytest.raises(DataError, match=r"holds thesis.tex"):
        check_destination(lodopab.root, overwrite=True)


def test_a_file_is_never_replaced(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="is a file"):
        check_destination(tmp_path / "file", overwrite=True)


def test_what_does_not_fit_the_disk_is_refused_with_both_sizes(tmp_path, monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(free=2_000_000_000))
    geometry = ParallelGeometry.lodopab()  # 2.58 MB an image
    check_room(tmp_path / "a" / "b", geometry, 700)
    with pytest.raises(DataError, match=r"needs 2\.1 GB, but .* has 2\.0 GB free"):
        check_room(tmp_path / "a" / "b", geometry, 800)
