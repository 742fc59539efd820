import errno
import logging
import multiprocessing
import os
import pickle
import time

import numpy as np
import pytest

from data.caches.array_cache import NEIGHBOURS, ArrayCache
from data.caches.cache_folder import CacheFolder
from data.caches.item_store import ItemStore

COUNT = 2 * NEIGHBOURS + 3
SHAPE = (COUNT, 1, 4, 4)
FORK = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def logged(caplog):
    caplog.set_level(logging.INFO, logger="data")
    return caplog


class Builder:
    """Fills array i with i, and notes in a file what it was asked for."""

    def __init__(self, notes, wait=None):
        self.notes = notes
        self.wait = wait

    def __call__(self, indices):
        with self.notes.open("a") as file:
            file.write("".join(f"{index}\n" for index in indices))
        if self.wait is not None:
            self.wait()
        return np.stack([np.full(SHAPE[1:], index, np.float32) for index in indices])

    @property
    def asked(self):
        return [int(line) for line in self.notes.read_text().split()] if self.notes.exists() else []


@pytest.fixture
def builder(tmp_path):
    return Builder(tmp_path / "notes")


@pytest.fixture
def cache(tmp_path, builder):
    def make(limit_gb=1.0, **identity):
        folder = CacheFolder([tmp_path / "cache"], limit_gb)
        return ArrayCache(folder, "the images", identity, SHAPE, builder)

    return make


def is_right(cache):
    return [float(cache[index].mean()) for index in range(COUNT)] == list(range(COUNT))


def in_children(count, function, *arguments):
    children = [FORK.Process(target=function, args=arguments) for _ in range(count)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0] * count


def test_each_array_is_computed_once_and_never_again(cache, builder):
    for _ in range(2):
        assert is_right(cache())
    assert sorted(builder.asked) == list(range(COUNT))


def test_nothing_is_computed_or_written_before_the_first_read(cache, builder, tmp_path):
    assert len(cache()) == COUNT
    assert builder.asked == []
    assert not (tmp_path / "cache").exists()


def test_an_array_is_computed_with_its_neighbours_and_no_others(cache, builder):
    cache()[NEIGHBOURS + 2]
    assert builder.asked == list(range(NEIGHBOURS, 2 * NEIGHBOURS))
    cache()[COUNT - 1]
    assert builder.asked[NEIGHBOURS:] == list(range(2 * NEIGHBOURS, COUNT))


def test_another_identity_has_arrays_of_its_own(cache, builder):
    cache(window="hann")[0]
    cache(window="ones")[0]
    assert builder.asked == 2 * list(range(NEIGHBOURS))


def test_processes_that_begin_together_compute_each_array_once(cache, builder):
    barrier = FORK.Barrier(4)
    builder.wait = lambda: time.sleep(0.05)

    def read_all():
        barrier.wait(30)
        assert is_right(cache())

    in_children(4, read_all)
    assert sorted(builder.asked) == list(range(COUNT))


def test_a_cache_that_was_opened_before_a_fork_serves_its_children(cache, builder):
    shared = cache()
    shared[0]

    def read_all():
        assert is_right(shared)

    in_children(3, read_all)
    assert sorted(builder.asked) == list(range(COUNT))


def test_a_killed_process_leaves_the_work_to_the_next_and_nothing_half_done(cache, builder):
    began = FORK.Event()
    builder.wait = lambda: (began.set(), FORK.Event().wait(60))
    child = FORK.Process(target=lambda: cache()[0])
    child.start()
    assert began.wait(30)
    child.kill()
    child.join(30)
    builder.wait = None
    assert is_right(cache())
    assert sorted(builder.asked[NEIGHBOURS:]) == list(range(COUNT))


def test_others_go_on_elsewhere_while_one_computes(cache, builder):
    began, go_on = FORK.Event(), FORK.Event()
    builder.wait = lambda: (began.set(), go_on.wait(60))
    child = FORK.Process(target=lambda: cache()[0])
    child.start()
    assert began.wait(30)
    builder.wait = None
    assert cache()[NEIGHBOURS].mean() == NEIGHBOURS
    go_on.set()
    child.join(30)
    assert child.exitcode == 0


def damage(folder, index):
    (path,) = folder.glob("*/values.npy")
    with path.open("r+b") as file:
        file.seek(-4 * 16 * (COUNT - index), os.SEEK_END)
        file.write(b"\xff")


def test_a_damaged_array_is_computed_anew_and_that_is_said_once(cache, builder, tmp_path, logged):
    assert is_right(cache())
    damage(tmp_path / "cache", 5)
    assert is_right(cache())
    assert is_right(cache())
    assert builder.asked[COUNT:] == [5]
    assert logged.text.count("number 5 is damaged and computed anew") == 1


@pytest.mark.parametrize("limit_gb", [0.0, 1e-9])
def test_without_room_it_is_computed_at_each_read_and_alone(cache, builder, limit_gb):
    small = cache(limit_gb)
    assert [small[3].mean(), small[3].mean()] == [3, 3]
    assert builder.asked == [3, 3]


def test_a_full_disk_is_told_once_and_stops_nothing(cache, builder, logged, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ItemStore, "write", fail)
    assert is_right(cache())
    assert logged.text.count("cannot be written (No space left on device)") == 1


def test_what_the_builder_raises_comes_through_and_harms_nothing(cache, builder):
    def fail():
        raise ValueError("a file has gone")

    builder.wait = fail
    broken = cache()
    with pytest.raises(ValueError, match="a file has gone"):
        broken[0]
    builder.wait = None
    assert is_right(broken)


def test_the_log_says_where_it_is_how_much_is_there_and_when_it_is_full(cache, tmp_path, logged):
    assert is_right(cache())
    place = next((tmp_path / "cache").glob("*/")).name
    assert f"the images: 0 of {COUNT} are in {tmp_path / 'cache' / place}" in logged.text
    assert f"the images: {COUNT} of {COUNT} are computed" in logged.text


def test_a_pickled_copy_opens_it_anew(tmp_path):
    original = ArrayCache(CacheFolder([tmp_path], 1.0), "x", {}, SHAPE, np.zeros)
    original._build = Builder(tmp_path / "notes")
    original[0]
    copy = pickle.loads(pickle.dumps(original))
    assert copy[0].mean() == 0
    assert copy[COUNT - 1].mean() == COUNT - 1
