"""Memory limits, each in a process of its own, which it would spoil for other tests."""

import errno

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from protocol.errors import DataError
from tests.ranks import in_a_process
from worker.machine.memory import GIB, Usage, limit_memory, out_of_memory

CPU = torch.device("cpu")
MIB = 2**20
LIMIT = 64 * MIB


def fill(make):
    """How many MiB fit under the limit, and whether the error is known for what it is."""
    lift = limit_memory(LIMIT / GIB, [CPU])
    held = []
    try:
        held.extend(make() for _ in range(200))
    except Exception as error:
        lift()
        return len(held), out_of_memory(error, limited=True)
    return len(held), False


def tensors():
    return fill(lambda: torch.ones(MIB // 4))


def arrays():
    return fill(lambda: np.ones(MIB // 8))


def objects():
    return fill(lambda: bytearray(MIB))


@pytest.mark.parametrize("make", [tensors, arrays, objects])
def test_a_limit_holds_for_tensors_arrays_and_objects_and_its_error_is_known(make):
    fitted, known = in_a_process(make)
    assert 40 <= fitted <= 70  # a little room that was held before may be used
    assert known


def grown_after_the_limit():
    lift = limit_memory(LIMIT / GIB, [CPU])
    lift()
    return torch.ones(2 * LIMIT // 4).sum().item()


def test_a_lifted_limit_is_one_no_more():
    assert in_a_process(grown_after_the_limit) == 2 * LIMIT // 4


class Large(Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        return np.ones(2 * LIMIT // 8)


def read_in_a_loader():
    limit_memory(LIMIT / GIB, [CPU])
    loader = DataLoader(Large(), num_workers=1, multiprocessing_context="fork")
    try:
        next(iter(loader))
    except Exception as error:
        return out_of_memory(error, limited=True)
    return None


def test_a_loader_process_is_limited_alike_and_its_error_is_known_here():
    assert in_a_process(read_in_a_loader)


def raised_from(cause):
    error = DataError("the file cannot be read")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "limited", "known"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), False, True),
        (RuntimeError("CUDA error: out of memory"), False, True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), False, True),
        (RuntimeError("std::bad_alloc"), False, True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), False, True),
        (raised_from(MemoryError()), False, True),
        (RuntimeError("could not create a primitive"), True, True),
        (RuntimeError("could not create a primitive"), False, False),
        (RuntimeError("shapes do not match"), True, False),
        (ValueError("out of memory"), True, False),
        (OSError(errno.ENOSPC, "No space left on device"), True, False),
        (raised_from(KeyError("x")), True, False),
    ],
)
def test_what_is_a_lack_of_memory_and_what_is_not(error, limited, known):
    assert out_of_memory(error, limited=limited) == known


def used():
    usage = Usage([CPU])
    torch.ones(100 * MIB // 4).sum()
    return usage.peaks(), usage.available


def test_the_peak_counts_what_was_freed_again():
    peaks, available = in_a_process(used)
    assert 90 * MIB < peaks["cpu"] < 140 * MIB
    assert available["cpu"] > peaks["cpu"]
