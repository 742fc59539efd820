"""What an exception means is told by its type, however deep its cause lies."""

import errno
import sys

import pytest
import torch

from protocol.errors import CheckpointError, DataError, SettingsError
from protocol.messages import Fault, append_event, load_plan, read_events
from tests.ranks import make_plan
from worker.ranks.faults import failure, fault_of
from worker.ranks.group import JoinError, PeerLost
from worker.ranks.loading import LoaderKilled

GLOO = "[/torch/third_party/gloo/gloo/transport/tcp/pair.cc:545] Connection closed by peer"
ENOSPC = OSError(errno.ENOSPC, "No space left on device")


def accelerator_error(code, message="CUDA error: unknown error"):
    error = torch.AcceleratorError(message)
    error.error_code = code
    return error


def during(error, context):
    """`error`, raised while `context` was handled."""
    error.__context__ = context
    return error


def caused(error, cause):
    error.__cause__ = cause
    return error


@pytest.fixture
def trial(tmp_path):
    return make_plan(tmp_path, searched=["width"])


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (ValueError("3 is not 4"), Fault.DEFECT),
        (SystemExit(3), Fault.DEFECT),
        (DataError("scan.hdf5 is truncated"), Fault.USER),
        (SettingsError("must be even", key="recipe.width"), Fault.RECIPE),
        (SettingsError("two of them do not fit", key="recipe"), Fault.RECIPE),
        (SettingsError("must be even", key="recipe.depth"), Fault.USER),
        (SettingsError("no such folder", key="data.root"), Fault.USER),
        (SettingsError("is none of ours", key="recipes.width"), Fault.USER),
        (MemoryError(), Fault.MEMORY),
        (torch.OutOfMemoryError("CUDA out of memory"), Fault.MEMORY),
        (accelerator_error(2, "CUDA error: out of memory"), Fault.MEMORY),
        (ENOSPC, Fault.DISK),
        (caused(CheckpointError("no"), OSError(errno.EDQUOT, "quota")), Fault.DISK),
        (during(ValueError("I/O operation on closed file"), ENOSPC), Fault.DISK),
        (OSError(errno.EACCES, "Permission denied"), Fault.DEFECT),
        (caused(RuntimeError("h5py says"), LoaderKilled("killed")), Fault.LOADER),
        (PeerLost("another rank was lost"), Fault.PEER),
        (torch.distributed.DistBackendError("NCCL timeout"), Fault.PEER),
        (RuntimeError(GLOO), Fault.PEER),
        (ValueError(GLOO), Fault.DEFECT),
        (JoinError("[gloo/transport/tcp/device.cc:5] no interface"), Fault.MACHINE),
        (accelerator_error(999), Fault.DEVICE),
        (caused(ValueError("x"), accelerator_error(719)), Fault.DEVICE),
        (RuntimeError("CUDA error: uncorrectable ECC error encountered"), Fault.DEVICE),
        (accelerator_error(710, "CUDA error: device-side assert triggered"), Fault.DEFECT),
        (accelerator_error(700, "CUDA error: an illegal memory access"), Fault.DEFECT),
        (RuntimeError("CUDA error: device-side assert triggered"), Fault.DEFECT),
    ],
)
def test_every_exception_has_its_fault(trial, error, fault):
    assert fault_of(error, load_plan(trial.plan)) is fault


def test_a_circle_of_causes_has_an_end(trial):
    first, second = ValueError("a"), ValueError("b")
    first.__context__, second.__cause__ = second, first
    assert fault_of(first, load_plan(trial.plan)) is Fault.DEFECT


def told(trial, error):
    """The event, written and read again."""
    append_event(trial.events, failure(load_plan(trial.plan), 1, error))
    return read_events(trial.events)[-1]


def test_long_messages_and_tracebacks_are_cut_in_the_middle_and_say_so(trial):
    event = told(trial, ValueError("begin" + "x" * 5_000_000 + "end"))
    assert event.message.startswith("begin")
    assert event.message.endswith("end")
    assert "4996008 characters" in event.message
    assert len(event.message) < 4_100
    assert len(event.traceback) < 64_100
    assert trial.events.stat().st_size < 100_000


def test_text_that_cannot_be_encoded_is_told_escaped(trial):
    event = told(trial, ValueError("the file \udcff.dcm"))
    assert event.message == "the file \\udcff.dcm"
    assert "\\udcff.dcm" in event.traceback


class Wordless(Exception):
    def __str__(self):
        raise RuntimeError("no words")


def test_an_exception_that_cannot_be_put_into_words_is_told_all_the_same(trial):
    event = told(trial, Wordless())
    assert (event.error, event.fault) == ("Wordless", Fault.DEFECT)
    assert event.message == "a Wordless that cannot be put into words"


def test_an_exit_in_a_family_keeps_its_traceback(trial):
    def leave():
        sys.exit("enough")

    try:
        leave()
    except SystemExit as error:
        event = told(trial, error)
    assert (event.error, event.message, event.fault) == ("SystemExit", "enough", Fault.DEFECT)
    assert "in leave" in event.traceback


def test_a_sentence_for_the_user_needs_no_traceback(trial):
    event = told(trial, DataError("scan.hdf5 is truncated"))
    assert (event.user_error, event.traceback, event.fault) == (True, "", Fault.USER)
    assert told(trial, KeyError("x")).traceback
