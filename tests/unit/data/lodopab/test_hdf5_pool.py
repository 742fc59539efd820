import multiprocessing
import pickle

import h5py
import pytest

from data.lodopab.hdf5_pool import Hdf5Pool


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f"{number}.hdf5" for number in range(4)]
    for number, path in enumerate(paths):
        with h5py.File(path, "w") as file:
            file["data"] = [number]
    return paths


def test_no_more_files_are_open_than_allowed_and_the_least_used_is_closed(files):
    pool = Hdf5Pool(limit=2)
    first = pool.file(files[0])
    second = pool.file(files[1])
    assert pool.file(files[0]) is first
    third = pool.file(files[2])
    assert first
    assert third
    assert not second  # a closed h5py file is false


def test_a_closed_file_is_opened_again_when_asked_for(files):
    pool = Hdf5Pool(limit=1)
    for path in (*files, *files):
        assert pool.file(path)["data"][0] == files.index(path)


def test_a_pickled_pool_carries_no_handles_and_works(files):
    pool = Hdf5Pool()
    before = pool.file(files[0])
    copy = pickle.loads(pickle.dumps(pool))
    assert copy.file(files[0]) is not before
    assert copy.file(files[1])["data"][0] == 1


def _child(pool, path, inherited, queue):
    queue.put((pool.file(path) is not inherited, int(pool.file(path)["data"][0])))


def test_a_forked_child_opens_its_own_files_and_the_parents_stay_usable(files):
    fork = multiprocessing.get_context("fork")
    pool, queue = Hdf5Pool(), fork.Queue()
    parents = pool.file(files[3])
    child = fork.Process(target=_child, args=(pool, files[3], parents, queue))
    child.start()
    assert queue.get(timeout=20) == (True, 3)
    child.join(20)
    assert pool.file(files[3]) is parents
    assert parents["data"][0] == 3


def test_closing_leaves_the_pool_usable(files):
    pool = Hdf5Pool()
    handle = pool.file(files[0])
    pool.close()
    assert not handle
    assert pool.file(files[0])["data"][0] == 0
