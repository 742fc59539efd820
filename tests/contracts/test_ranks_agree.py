"""Two ranks compute what one does on the same global batch, for every family."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch
from torch import nn

from protocol.folders import TrialFolder
from tests.contracts.bench import Bench, alone, plan_trial
from tests.ranks import talk_together
from worker.ranks.batches import epoch_steps
from worker.ranks.group import Group, join
from worker.ranks.guard import Wishes
from worker.training.step import accumulate

# Of the gradient's length. The sums over a batch are rounded in another order; a sample that is
# counted twice or left out changes the gradient by tens of per cent.
TOLERANCE = 1e-4
GLOBAL_BATCH = 4
SAMPLES = 7  # a whole global batch and one that two ranks cannot share evenly


def test_two_ranks_find_the_gradient_of_one(case, bench, shared, tmp_path):
    pair = plan_trial(case, shared, tmp_path / "pair", ranks=2, recipe=_batch(GLOBAL_BATCH // 2))
    single = plan_trial(case, shared, tmp_path / "single", recipe=_batch(GLOBAL_BATCH))
    expected = _gradients(single, alone())
    answers = talk_together(_answer, pair.path, ranks=2, patience=200)
    for found in answers.values():
        assert len(found) == len(expected) == 2
        for of_two, of_one in zip(found, expected, strict=True):
            assert np.linalg.norm(of_one) > 0
            assert np.linalg.norm(of_two - of_one) < TOLERANCE * np.linalg.norm(of_one)


def _batch(size: int) -> dict[str, int]:
    return {"batch_size": size, "accumulation": 1}


def _answer(folder: Path, rank: int, queue) -> None:
    group = join(devices=["cpu", "cpu"], rank=rank, rendezvous=folder / "meeting", patience=200)
    gradients = _gradients(TrialFolder(folder), group)
    queue.put((rank, gradients))
    group.leave()


def _gradients(folder: TrialFolder, group: Group) -> list[np.ndarray]:
    """The gradient of every global batch, each in one row."""
    bench = Bench(folder, group)
    learner = bench.learner
    learner.model.train()
    _without_batch_effects(learner.model)
    found = []
    for step in epoch_steps(range(SAMPLES), bench.trial.sharing):
        batches = iter([bench.batch("train", micro.indices) for micro in step.micro_batches])
        accumulate(learner, copy.copy(step), batches, Wishes())
        rows = [weight.grad.flatten() for weight in learner.parameters()]
        found.append(torch.cat(rows).double().numpy())
    return found


def _without_batch_effects(model: nn.Module) -> None:
    """Batch normalisation takes its statistics from a rank's own samples, dropout its mask from
    its own random numbers: both are meant to differ, and would hide what must not.
    """
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm | nn.modules.dropout._DropoutNd):
            module.eval()
