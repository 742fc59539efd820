import functools
import os
import signal
import time

import numpy as np
import pytest
import torch

from tests.ranks import in_a_process
from worker.ranks.loading import BatchLoader, LoaderKilled, loader_loss


class Noisy:
    """Each sample is its index and a random number."""

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return {"index": index, "numpy": np.random.rand(), "torch": torch.rand(())}


def load(epoch, batches, workers=0):
    loader = BatchLoader(Noisy(), seed=1, workers=workers, device=torch.device("cpu"))
    return [
        (int(index), first.item(), second.item())
        for batch in loader.batches(epoch, batches)
        for index, first, second in zip(batch["index"], batch["numpy"], batch["torch"], strict=True)
    ]


def test_batches_come_in_the_order_asked_for():
    assert [sample[0] for sample in load(1, [(3, 1), (0,), (5, 4)])] == [3, 1, 0, 5, 4]


@pytest.mark.parametrize("workers", [0, 2])
def test_augmentation_does_not_depend_on_order_batching_or_loader_processes(workers):
    alone = {sample[0]: sample for sample in load(1, [(index,) for index in range(6)])}
    assert load(1, [(5, 2, 0), (1,)], workers) == [alone[index] for index in (5, 2, 0, 1)]


def test_augmentation_differs_between_samples_and_between_epochs():
    drawn = [sample[1:] for epoch in (1, 2) for sample in load(epoch, [(0, 1, 2)])]
    assert len(set(drawn)) == 6


def test_loader_processes_serve_one_epoch_after_another():
    loader = BatchLoader(Noisy(), seed=1, workers=2, device=torch.device("cpu"))
    for epoch in (1, 2, 3):
        found = [batch["index"].tolist() for batch in loader.batches(epoch, [(epoch,), (0, 1)])]
        assert found == [[epoch], [0, 1]]


class Struck(Noisy):
    """The process that reads sample 3 does what `strike` does."""

    def __init__(self, strike):
        self.strike = strike

    def __getitem__(self, index):
        if index == 3:
            self.strike()
        return super().__getitem__(index)


def signalled(number):
    os.kill(os.getpid(), number)


def raised():
    raise ConnectionResetError("the server of the data went away")


def read(strike):
    """How the loss of a loader process is known, or the error that is none."""
    loader = BatchLoader(Struck(strike), seed=1, workers=2, device=torch.device("cpu"))
    try:
        list(loader.batches(1, [(0,), (3,), (1,)]))
    except Exception as error:
        known = loader_loss() or error
        return type(known), str(known)
    return None


# In processes of their own: torch raises in the one whose loader process died, wherever it is.
@pytest.mark.parametrize(
    ("strike", "kind", "message"),
    [
        (functools.partial(signalled, signal.SIGKILL), LoaderKilled, "was ended by signal 9"),
        (functools.partial(signalled, signal.SIGTERM), LoaderKilled, "was ended by signal 15"),
        (functools.partial(signalled, signal.SIGBUS), MemoryError, "/dev/shm is full"),
        (raised, ConnectionResetError, "the server of the data went away"),
        (functools.partial(os._exit, 3), RuntimeError, "exited unexpectedly"),
    ],
)
def test_an_exit_code_tells_a_killed_loader_process_from_a_failed_one(strike, kind, message):
    found, words = in_a_process(functools.partial(read, strike))
    assert found is kind
    assert message in words


def tear(error):
    """Half a message, or a socket that closes, comes as any exception, before the exit is seen."""
    loader = BatchLoader(Noisy(), seed=1, workers=1, device=torch.device("cpu"))
    batches = loader.batches(1, [(0,), (1,)])
    next(batches)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # as if the exception came first
    (process,) = loader._processes

    def torn(_):
        os.kill(process.pid, signal.SIGKILL)
        raise error

    type(loader._loader._iterator).__next__ = torn
    try:
        next(batches)
    except Exception as told:
        return type(told).__name__, type(told.__cause__).__name__
    return None


@pytest.mark.parametrize("error", [ConnectionResetError("by peer"), EOFError(), ValueError("x")])
def test_whatever_torch_makes_of_it_a_killed_process_is_told(error):
    found = in_a_process(functools.partial(tear, error))
    assert found == ("LoaderKilled", type(error).__name__)


def lose_between_two_batches():
    loader = BatchLoader(Noisy(), seed=1, workers=1, device=torch.device("cpu"))
    batches = loader.batches(1, [(0,), (1,)])
    next(batches)
    before = loader_loss()
    try:
        os.kill(loader._processes[0].pid, signal.SIGKILL)
        time.sleep(30)  # where a training step would be
    except RuntimeError:
        return before, type(loader_loss())
    return None


def test_a_process_killed_between_two_batches_is_known_wherever_torch_raises():
    assert in_a_process(lose_between_two_batches) == (None, LoaderKilled)
