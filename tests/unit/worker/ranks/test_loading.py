import os
import signal

import numpy as np
import pytest
import torch

from worker.ranks.loading import BatchLoader, LoaderKilled


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


class Suicidal:
    def __len__(self):
        return 1

    def __getitem__(self, index):
        os.kill(os.getpid(), signal.SIGKILL)


class Wrong(Suicidal):
    def __getitem__(self, index):
        raise ConnectionResetError("of the data set's own")


@pytest.mark.parametrize(
    ("dataset", "kind"), [(Suicidal(), LoaderKilled), (Wrong(), ConnectionResetError)]
)
def test_a_killed_loader_process_is_told_by_its_exit_code(dataset, kind):
    loader = BatchLoader(dataset, seed=0, workers=1, device=torch.device("cpu"))
    with pytest.raises(kind):
        next(loader.batches(0, [(0,)]))
