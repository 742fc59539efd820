"""What an exception means is told by its type, however deep its cause lies."""

import errno

import pytest
import torch

from protocol.errors import CheckpointError, DataError, SettingsError
from protocol.messages import Fault, load_plan
from tests.ranks import make_plan
from worker.ranks.faults import bounded, fault_of
from worker.ranks.group import JoinError
from worker.ranks.loading import LoaderKilled


def caused(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (ValueError("3 is not 4"), Fault.DEFECT),
        (DataError("scan.hdf5 is truncated"), Fault.USER),
        (SettingsError("must be even", key="recipe.width"), Fault.RECIPE),
        (SettingsError("two of them do not fit", key="recipe"), Fault.RECIPE),
        (SettingsError("must be even", key="recipe.depth"), Fault.USER),
        (SettingsError("no such folder", key="data.root"), Fault.USER),
        (MemoryError(), Fault.MEMORY),
        (OSError(errno.ENOSPC, "No space left on device"), Fault.DISK),
        (caused(CheckpointError("no"), OSError(errno.EDQUOT, "quota")), Fault.DISK),
        (caused(RuntimeError("h5py says"), LoaderKilled("killed")), Fault.LOADER),
        (torch.distributed.DistError("gone"), Fault.PEER),
        (RuntimeError("[gloo/transport/tcp/pair.cc:5] Connection closed by peer"), Fault.PEER),
        (JoinError("[gloo/transport/tcp/device.cc:5] no interface"), Fault.MACHINE),
        (torch.AcceleratorError("CUDA error: an illegal memory access"), Fault.DEVICE),
    ],
)
def test_every_exception_has_its_fault(error, fault, tmp_path):
    plan = load_plan(make_plan(tmp_path, searched=["width"]).plan)
    assert fault_of(error, plan) is fault


def test_a_circle_of_causes_has_an_end(tmp_path):
    first, second = ValueError("a"), ValueError("b")
    first.__context__, second.__cause__ = second, first
    assert fault_of(first, load_plan(make_plan(tmp_path).plan)) is Fault.DEFECT


def test_what_an_event_tells_is_bounded_and_can_be_written():
    assert bounded("short", 100) == "short"
    assert bounded("lone \ud800 surrogate", 100).encode() == b"lone \\ud800 surrogate"
    long = bounded("a" * 600 + "b" * 5_000_000 + "c" * 600, 1000)
    assert len(long) < 1100
    assert long.startswith("a" * 500)
    assert long.endswith("c" * 500)
    assert "characters" in long
