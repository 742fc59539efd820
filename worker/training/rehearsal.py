"""What a configuration needs, found by training it for two steps and validating one batch.

The copy that checkpoints are written of is a part of it.

Two steps, because optimisers make their state in the first one: only from the second on do
weights, state, activations and gradients lie in memory together. The second is a step of the last
epoch, in which losses that change while a model trains are complete.
"""

from __future__ import annotations

import contextlib
import time

import torch

from protocol.messages import Measured, Plan, append_event
from worker.machine.memory import Usage
from worker.ranks.batches import Step, epoch_steps
from worker.ranks.divergence import Divergence
from worker.ranks.group import Group
from worker.ranks.trial import Trial
from worker.training.train import Training


def devices_of(plan: Plan, group: Group) -> list[torch.device]:
    """Every device that this process works on."""
    names = plan.devices if plan.mapped else [group.device]
    return [torch.device(name) for name in names]


def rehearse(trial: Trial) -> None:
    """Train two steps on whole batches, validate one batch, and tell what that took.

    Every rank tells of itself. A divergence is no matter here: the largest learning rate is tried
    together with the largest model.
    """
    usage = Usage(devices_of(trial.plan, trial.group))
    training = Training(trial)
    step = _whole_step(training)
    seconds = 0.0
    training.learner.model.train()
    for epoch in (1, trial.recipe.epochs):
        training.learner.progress.epoch = epoch
        trial.family.epoch_begins(epoch)
        started = time.monotonic()
        with contextlib.suppress(Divergence):
            training.take_steps([step])
        seconds = time.monotonic() - started
    training.keeper.rehearse()
    training.metrics()
    append_event(
        trial.folder.events,
        Measured(
            attempt=trial.plan.attempt,
            rank=trial.group.rank,
            peaks=usage.peaks(),
            available=usage.available,
            seconds=seconds,
        ),
    )


def _whole_step(training: Training) -> Step:
    """A step on a full global batch, also where the split has fewer samples than that."""
    sharing = training.trial.sharing
    order = [position % training.samples for position in range(sharing.global_batch)]
    return next(epoch_steps(order, sharing))
