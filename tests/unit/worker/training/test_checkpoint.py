import contextlib
import errno
import io
import os
import subprocess
import sys
import warnings
from collections import OrderedDict

import numpy as np
import pytest
import torch

from protocol.errors import CheckpointError
from protocol.folders import TrialFolder
from worker.training import checkpoint
from worker.training.checkpoint import (
    digest,
    load_checkpoint,
    read_checkpoint,
    save_checkpoint,
    save_last,
)

CONTENT = {
    "model": OrderedDict(
        weight=torch.arange(5000.0).reshape(50, 100),
        half=torch.ones(3, dtype=torch.bfloat16),
        count=torch.tensor(7),
        empty=torch.zeros(0, 4),
        complex=torch.ones(2, dtype=torch.complex64),
        flags=torch.tensor([True, False]),
    ),
    "optimizer": {"state": {0: {"step": 3.0}}, "betas": (0.9, 0.999), "maximize": False},
    "metrics": {"nan": float("nan"), "none": None, "list": [1, "two"]},
}


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "last.pth"
    save_checkpoint(path, CONTENT)
    return path


def test_what_was_saved_is_loaded(saved):
    loaded = load_checkpoint(saved)
    assert digest(loaded) == digest(CONTENT)
    assert torch.equal(loaded["model"]["weight"], CONTENT["model"]["weight"])
    assert loaded["optimizer"] == CONTENT["optimizer"]


def test_one_flipped_bit_in_any_tensor_or_value_is_noticed(saved):
    """Padding and the archive's own bookkeeping aside, every byte counts."""
    whole = saved.read_bytes()
    unnoticed = []
    for place in range(0, len(whole), 37):
        damaged = bytearray(whole)
        damaged[place] ^= 0x10
        saved.write_bytes(damaged)
        with contextlib.suppress(CheckpointError):
            assert digest(load_checkpoint(saved)) == digest(CONTENT)
            unnoticed.append(place)
    assert len(unnoticed) < 0.2 * len(whole) / 37


def test_any_flipped_bit_of_a_file_is_refused_or_changes_nothing(tmp_path):
    path = tmp_path / "last.pth"
    progress = {"step": 1, "validated": None}
    content = {"model": {"weight": torch.ones(3, 2)}, "training": {"progress": progress}}
    save_checkpoint(path, content)
    written = path.read_bytes()
    for place in range(len(written)):
        flipped = bytearray(written)
        flipped[place] ^= 1 << place % 8
        path.write_bytes(flipped)
        with warnings.catch_warnings(), contextlib.suppress(CheckpointError):
            warnings.simplefilter("ignore")  # torch's, of what the damaged file seems to be
            assert repr(load_checkpoint(path)) == repr(content), place


def test_a_zeroed_page_is_noticed(saved):
    whole = bytearray(saved.read_bytes())
    place = whole.index(np.arange(2000, 2010, dtype=np.float32).tobytes())
    whole[place : place + 4096] = bytes(4096)
    saved.write_bytes(whole)
    with pytest.raises(CheckpointError, match=r"last\.pth is damaged"):
        load_checkpoint(saved)


@pytest.mark.parametrize("length", [0, 0.001, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_refused_by_name(saved, length):
    whole = saved.read_bytes()
    saved.write_bytes(whole[: int(length * len(whole))])
    with pytest.raises(CheckpointError, match=r"last\.pth is damaged, or no checkpoint"):
        load_checkpoint(saved)


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(CheckpointError, match=r"there is no checkpoint .*gone\.pth"):
        load_checkpoint(tmp_path / "gone.pth")


def test_a_foreign_torch_file_is_refused(tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="not a checkpoint of this program"):
        load_checkpoint(tmp_path / "other.pth")


def test_a_file_that_would_run_code_is_refused_and_does_not_run_it(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"sha256": "", "content": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("value", [np.float64(1.0), np.ones(2), object()])
def test_what_could_not_be_loaded_safely_is_refused_when_saving(tmp_path, value):
    with pytest.raises(TypeError, match="a checkpoint cannot hold"):
        save_checkpoint(tmp_path / "last.pth", {"value": value})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1}, {"a": 1.0}),
        ({"a": 1}, {"a": True}),
        ([1, 2], (1, 2)),
        ([[1], 2], [[1, 2]]),
        (["ab", "c"], ["a", "bc"]),
        (torch.zeros(2, 3), torch.zeros(3, 2)),
        (torch.zeros(2), torch.zeros(2, dtype=torch.int32)),
        (torch.tensor([0.0]), torch.tensor([-0.0])),
    ],
)
def test_the_digest_tells_types_shapes_and_nesting_apart(one, other):
    assert digest(one) != digest(other)


def test_the_old_last_becomes_the_previous(tmp_path):
    folder = TrialFolder(tmp_path)
    for number in range(3):
        save_last(folder, {"number": number})
    assert load_checkpoint(folder.last) == {"number": 2}
    assert load_checkpoint(folder.previous) == {"number": 1}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.pth", "previous.pth"]


def test_saving_after_a_kill_that_left_one_file_under_both_names_leaves_no_third(tmp_path):
    folder = TrialFolder(tmp_path)
    save_last(folder, {"number": 0})
    os.link(folder.last, folder.previous)
    save_last(folder, {"number": 1})
    assert load_checkpoint(folder.previous) == {"number": 0}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.pth", "previous.pth"]


TRAINED = {
    "model": {"weight": torch.ones(3)},
    "data": {"root": "/a"},
    "training": {"progress": {"step": 3, "validated": {"time": 1.0}}, "optimizer": {"lr": 0.1}},
}


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"data": {"root": "/b"}}, True),
        ({"training": TRAINED["training"] | {"progress": {"step": 3, "validated": None}}}, True),
        ({"training": TRAINED["training"] | {"progress": {"step": 4}}}, False),
        ({"training": TRAINED["training"] | {"optimizer": {"lr": 0.2}}}, False),
        ({"model": {"weight": torch.tensor([1.0, 1.0, -1.0])}}, False),
    ],
)
def test_the_digest_is_of_what_training_decides_and_the_checksum_of_everything(
    tmp_path, change, same
):
    paths = [tmp_path / "one.pth", tmp_path / "other.pth"]
    digests = [save_checkpoint(paths[0], TRAINED), save_checkpoint(paths[1], TRAINED | change)]
    assert (digests[0] == digests[1]) == same
    assert [read_checkpoint(path)[1] for path in paths] == digests
    sums = [torch.load(path, weights_only=True)["sha256"] for path in paths]
    assert (sums[0] == sums[1]) == (change == {})


@pytest.mark.parametrize("part", ["sha256", "digest"])
def test_a_changed_digest_or_checksum_is_noticed(tmp_path, part):
    path = tmp_path / "last.pth"
    save_checkpoint(path, TRAINED)
    torch.save(torch.load(path, weights_only=True) | {part: "0" * 64}, path)
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(path)


def test_a_checkpoint_of_version_0_2_0_is_read_and_has_the_digest_of_todays(tmp_path):
    old, new = tmp_path / "old.pth", tmp_path / "new.pth"
    torch.save({"sha256": digest(TRAINED), "content": TRAINED}, old)
    assert read_checkpoint(old)[1] == save_checkpoint(new, TRAINED)
    torch.save({"sha256": digest(TRAINED), "content": TRAINED | {"more": 1}}, old)
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(old)


def test_without_hard_links_the_old_last_still_becomes_the_previous(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError("this file system has no links")

    monkeypatch.setattr(os, "link", refuse)
    folder = TrialFolder(tmp_path)
    for number in range(3):
        save_last(folder, {"number": number})
    assert load_checkpoint(folder.last) == {"number": 2}
    assert load_checkpoint(folder.previous) == {"number": 1}


@pytest.mark.parametrize("floats", [10, 10**6])
def test_a_full_disk_leaves_both_old_checkpoints_and_says_so(tmp_path, floats):
    folder = TrialFolder(tmp_path)
    for number in range(2):
        save_last(folder, {"number": number})
    (tmp_path / f".last.pth.{os.getpid()}.partial").symlink_to("/dev/full")
    with pytest.raises(CheckpointError, match=r"No space left on device: .*last\.pth"):
        save_last(folder, {"number": 2, "weights": torch.zeros(floats)})
    assert load_checkpoint(folder.last) == {"number": 1}
    assert load_checkpoint(folder.previous) == {"number": 0}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.pth", "previous.pth"]


DRIVER = """
import os, signal, sys
from pathlib import Path
from protocol.folders import TrialFolder
from worker.training.checkpoint import save_last

FILES = ("archive.py", "checkpoint.py", "files.py")

def save(folder, lines):
    save_last(folder, {"number": 0})
    save_last(folder, {"number": 1})

    def count(frame, event, argument):
        nonlocal lines
        if event == "line" and frame.f_code.co_filename.endswith(FILES):
            lines -= 1
            if lines == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return count

    sys.settrace(count)
    save_last(folder, {"number": 2})
    sys.settrace(None)

lines, killed = 0, True
while killed:
    lines += 1
    folder = TrialFolder(Path(sys.argv[1]) / str(lines))
    folder.path.mkdir()
    child = os.fork()
    if child == 0:
        save(folder, lines)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
print(lines, status)
"""


@pytest.mark.slow
def test_a_kill_at_any_line_of_saving_leaves_a_whole_last_checkpoint(tmp_path):
    """Forked copies of one process are killed at ever later lines, until one is through."""
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, str(tmp_path)], capture_output=True, text=True, check=True
    )
    through, status = map(int, done.stdout.split())
    assert status == 0
    assert through > 40
    for lines in range(1, through + 1):
        folder = TrialFolder(tmp_path / str(lines))
        last = load_checkpoint(folder.last)["number"]
        assert last in (1, 2)
        assert load_checkpoint(folder.previous)["number"] in (0, 1)
    assert last == 2


class AlmostFullDisk(io.RawIOBase):
    """Refuses one large write and goes on with small ones, so that closing raises nothing."""

    def writable(self):
        return True

    def write(self, data):
        if len(data) > 10_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return len(data)


def test_a_disk_that_is_full_for_large_writes_alone_is_told(tmp_path, monkeypatch):
    @contextlib.contextmanager
    def replacing(_):
        yield AlmostFullDisk()

    monkeypatch.setattr(checkpoint, "replacing", replacing)
    with pytest.raises(CheckpointError, match="No space left on device"):
        save_checkpoint(tmp_path / "last.pth", {"weights": torch.zeros(10**5)})
