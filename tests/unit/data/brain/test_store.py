import numpy as np
import pytest

from data.brain.store import RECORD, CachedVolume, load_volume, note_of, remove_volume, store_volume


@pytest.fixture
def volume():
    records = np.zeros((3, 4, 5), dtype=RECORD)
    records["image"] = np.random.default_rng(0).random((3, 4, 5), dtype=np.float32)
    records["mask"][1:] = True
    records["segmentation"][2, 1] = True
    return CachedVolume(records=records, voxel_size=(2.5, 2.0, 1.5))


def test_a_volume_comes_back_as_it_was_and_is_mapped(tmp_path, volume):
    path = tmp_path / "a.npy"
    store_volume(path, volume)
    found = load_volume(path)
    assert found is not None
    assert isinstance(found.records, np.memmap)
    assert np.array_equal(found.records, volume.records)
    assert found.voxel_size == volume.voxel_size
    assert found.brain_share.tolist() == [0, 1, 1]
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.json", "a.npy"]


@pytest.mark.parametrize("place", [0, 130, -1])
def test_a_flipped_byte_anywhere_is_found(tmp_path, volume, place):
    path = tmp_path / "a.npy"
    store_volume(path, volume)
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    assert load_volume(path) is None


def test_a_cut_file_a_missing_note_and_a_broken_note_are_found(tmp_path, volume):
    path = tmp_path / "a.npy"
    assert load_volume(path) is None
    store_volume(path, volume)
    note = note_of(path).read_text()
    for broken in ("", "{}", "[]", note.replace("2.5", '"x"'), note[:-4]):
        note_of(path).write_text(broken)
        assert load_volume(path) is None
    note_of(path).write_text(note)
    assert load_volume(path) is not None
    path.write_bytes(path.read_bytes()[:-1])
    assert load_volume(path) is None


def test_a_write_that_fails_leaves_nothing_behind(tmp_path, volume, monkeypatch):
    def fail(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numpy.lib.format.write_array", fail)
    with pytest.raises(OSError, match="No space"):
        store_volume(tmp_path / "a.npy", volume)
    assert list(tmp_path.iterdir()) == []


def test_a_removed_volume_is_gone_and_removing_it_twice_is_no_error(tmp_path, volume):
    path = tmp_path / "a.npy"
    store_volume(path, volume)
    remove_volume(path)
    remove_volume(path)
    assert list(tmp_path.iterdir()) == []
