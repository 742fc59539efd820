import logging
import multiprocessing
import os

import numpy as np
import pytest

from data.caches import cache_folder
from data.caches.cache_folder import CacheFolder
from protocol.errors import DataError

SHAPE = (10, 1, 50, 50)
SIZE_GB = 10 * 50 * 50 * 4 / 1e9
FORK = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def logged(caplog):
    caplog.set_level(logging.INFO, logger="data")
    return caplog


def cache(folder, sets=10.0):
    """A cache with room for so many sets of SHAPE."""
    return CacheFolder([folder], (sets + 0.05) * SIZE_GB)  # and a header each


def opened(folder, number, sets=10.0):
    store = cache(folder, sets).open("the images", {"number": number}, SHAPE)
    if store is not None and not store.filled:
        store.write(0, np.full(SHAPE[1:], number, np.float32))
    return store


def held(folder, number):
    """Whether the number's store is there, without making it."""
    return any(f'"number": {number}' in path.read_text() for path in folder.glob("*/about.json"))


def test_what_was_kept_is_found_again_and_something_else_is_not(tmp_path):
    assert opened(tmp_path, 1).read(0).max() == 1
    again = cache(tmp_path).open("the images", {"number": 1}, SHAPE)
    assert again.read(0).max() == 1
    assert cache(tmp_path).open("the images", {"number": 2}, SHAPE).filled == 0
    assert cache(tmp_path).open("the images", {"number": 1}, (9, 1, 50, 50)).filled == 0


def test_the_least_recently_used_makes_room(tmp_path):
    for number in (1, 2, 3):
        os.utime(opened(tmp_path, number, sets=3).folder, (number, number))
    opened(tmp_path, 1, sets=3)
    opened(tmp_path, 4, sets=3)
    assert [held(tmp_path, number) for number in (1, 2, 3, 4)] == [True, False, True, True]


def test_one_in_use_is_never_evicted(tmp_path, logged):
    first = opened(tmp_path, 1, sets=2)
    second = opened(tmp_path, 2, sets=2)
    assert opened(tmp_path, 3, sets=2) is None
    assert "beside the caches in use" in logged.text
    assert first.read(0).max() == 1
    os.utime(first.folder, (1, 1))
    del second
    assert opened(tmp_path, 3, sets=2) is not None
    assert held(tmp_path, 1)
    assert not held(tmp_path, 2)


def test_a_set_larger_than_the_bound_is_not_kept_and_evicts_nothing(tmp_path, logged):
    opened(tmp_path, 1)
    assert opened(tmp_path, 2, sets=0.9) is None
    assert held(tmp_path, 1)
    assert "a larger data.cache_gb spares that" in logged.text


def test_the_disks_free_space_bounds_it_too(tmp_path, logged, monkeypatch):
    usage = cache_folder.shutil.disk_usage(tmp_path)
    most = cache_folder.SPARE_BYTES + 50_000
    monkeypatch.setattr(cache_folder.shutil, "disk_usage", lambda _: usage._replace(free=most))
    assert opened(tmp_path, 1) is None
    assert "free some space" in logged.text


def test_a_bound_of_nothing_keeps_nothing(tmp_path):
    folder = tmp_path / "cache"
    assert CacheFolder([folder], 0).open("the images", {}, SHAPE) is None
    assert not folder.exists()


@pytest.mark.parametrize("name", ["about.json", "values.npy", "checksums.npy"])
def test_a_damaged_store_is_made_anew_and_said(tmp_path, logged, name):
    place = opened(tmp_path, 1).folder
    (place / name).write_bytes(b"{")
    assert cache(tmp_path).open("the images", {"number": 1}, SHAPE).filled == 0
    assert "damaged" in logged.text
    assert "made anew" in logged.text
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == [place.name]


def test_what_a_kill_left_half_made_or_half_deleted_is_removed(tmp_path):
    (tmp_path / "0123.partial-x").mkdir()
    (tmp_path / "0123.partial-x" / "values.npy").write_bytes(b"x")
    opened(tmp_path, 1)
    assert not list(tmp_path.glob("*partial*"))


def test_where_the_first_place_cannot_be_written_the_next_is_used(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    folder = CacheFolder([blocked / "cache", tmp_path / "other"], 1)
    assert folder.open("the images", {}, SHAPE).folder.parent == tmp_path / "other"


def test_where_no_place_can_be_written_nothing_is_kept_and_that_is_said(tmp_path, logged):
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    assert CacheFolder([blocked / "a", blocked / "b"], 1).open("it", {}, SHAPE) is None
    assert "nothing is cached" in logged.text


def test_a_place_that_was_asked_for_and_cannot_be_written_is_an_error(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    with pytest.raises(DataError, match=r"data\.cache_folder: .*file/a cannot be made"):
        CacheFolder([blocked / "a"], 1).open("it", {}, SHAPE)


def test_processes_that_open_at_once_get_the_same_store(tmp_path):
    barrier, queue = FORK.Barrier(4), FORK.Queue()

    def open_one(number):
        barrier.wait(20)
        store = cache(tmp_path).open("the images", {}, SHAPE)
        store.write(number, np.full(SHAPE[1:], number, np.float32))
        queue.put(str(store.folder))

    children = [FORK.Process(target=open_one, args=(number,)) for number in range(4)]
    for child in children:
        child.start()
    assert len({queue.get(timeout=30) for _ in children}) == 1
    for child in children:
        child.join(20)
    store = cache(tmp_path).open("the images", {}, SHAPE)
    assert [store.read(number).max() for number in range(4)] == [0, 1, 2, 3]
