import json
import multiprocessing
import os

import numpy as np
import pytest

from data.caches.item_store import DamagedStore, ItemStore, create_store, is_in_use

IDENTITY = {"files": [["a.hdf5", 7, 1]], "method": {"window": "hann"}}
SHAPE = (5, 1, 3, 4)
FORK = multiprocessing.get_context("fork")


@pytest.fixture
def folder(tmp_path):
    create_store(tmp_path, IDENTITY, SHAPE)
    return tmp_path


def opened(folder, identity=IDENTITY, shape=SHAPE):
    return ItemStore(folder, identity, shape)


def values(number):
    return np.full(SHAPE[1:], number, np.float32)


def in_child(function, *arguments):
    child = FORK.Process(target=function, args=arguments)
    child.start()
    return child


def test_a_new_store_is_empty_and_takes_no_room(folder):
    store = opened(folder)
    assert (len(store), store.filled) == (5, 0)
    assert not store.has(0)
    assert store.read(0) is None


def test_what_one_process_writes_every_other_reads(folder):
    reader = opened(folder)
    writer = in_child(lambda: opened(folder).write(3, values(0.3)))
    writer.join(20)
    np.testing.assert_array_equal(reader.read(3), values(0.3))
    assert reader.filled == 1
    assert [reader.has(index) for index in range(5)] == [False, False, False, True, False]


def test_an_array_of_zeros_is_no_absent_one(folder):
    store = opened(folder)
    store.write(0, values(0))
    np.testing.assert_array_equal(store.read(0), values(0))


def test_what_is_read_can_be_changed_without_changing_the_store(folder):
    store = opened(folder)
    store.write(0, values(1))
    store.read(0)[:] = 9
    assert store.read(0).max() == 1


def test_an_array_of_another_shape_is_not_written_over_its_neighbour(folder):
    store = opened(folder)
    with pytest.raises(ValueError, match="does not fit"):
        store.write(0, np.zeros((1, 3, 5), np.float32))


@pytest.mark.parametrize("byte", [0, 17, 47])
def test_a_flipped_byte_is_noticed_when_it_is_read(folder, byte):
    store = opened(folder)
    for index in range(5):
        store.write(index, values(index + 1))
    with (folder / "values.npy").open("r+b") as file:
        file.seek(-48 + byte, os.SEEK_END)  # an array has 48 bytes
        old = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([old[0] ^ 1]))
    assert opened(folder).read(4) is None
    assert opened(folder).has(4)
    np.testing.assert_array_equal(opened(folder).read(3), values(4))


def cut(path):
    path.write_bytes(path.read_bytes()[:-4])


@pytest.mark.parametrize("name", ["about.json", "values.npy", "checksums.npy"])
@pytest.mark.parametrize("harm", [os.unlink, cut, lambda path: path.write_bytes(b"")])
def test_a_missing_or_short_file_is_damage_and_says_which(folder, name, harm):
    harm(folder / name)
    with pytest.raises(DamagedStore, match=name):
        opened(folder)


@pytest.mark.parametrize(
    ("identity", "shape"), [(IDENTITY | {"method": {}}, SHAPE), (IDENTITY, (4, 1, 3, 4))]
)
def test_a_store_of_something_else_is_not_taken_for_ones_own(folder, identity, shape):
    with pytest.raises(DamagedStore):
        opened(folder, identity, shape)


def test_the_folder_says_what_it_holds(folder):
    assert json.loads((folder / "about.json").read_text())["identity"] == IDENTITY


def test_the_values_are_an_ordinary_numpy_file(folder):
    opened(folder).write(2, values(0.5))
    loaded = np.load(folder / "values.npy", mmap_mode="r")
    assert (loaded.shape, loaded.dtype) == (SHAPE, np.float32)
    np.testing.assert_array_equal(loaded[2], values(0.5))


def test_it_is_in_use_while_a_process_has_it_open_and_not_after_a_kill(folder):
    assert not is_in_use(folder)
    ready = FORK.Event()

    def hold():
        store = opened(folder)
        ready.set()
        FORK.Event().wait(60)
        len(store)

    child = in_child(hold)
    assert ready.wait(20)
    assert is_in_use(folder)
    child.kill()
    child.join(20)
    assert not is_in_use(folder)


def test_a_store_that_is_no_more_is_not_in_use(folder):
    store = opened(folder)
    assert is_in_use(folder)
    del store
    assert not is_in_use(folder)


def test_a_claim_keeps_others_out_of_that_number_alone_until_its_holder_is_killed(folder):
    store = opened(folder)
    ready, entered = FORK.Event(), FORK.Event()

    def hold():
        with store.claim(1):
            ready.set()
            FORK.Event().wait(60)

    def enter():
        with store.claim(1):
            entered.set()

    holder = in_child(hold)
    assert ready.wait(20)
    with store.claim(0):
        pass
    waiting = in_child(enter)
    assert not entered.wait(0.3)
    holder.kill()
    holder.join(20)
    assert entered.wait(20)
    waiting.join(20)
