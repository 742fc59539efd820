"""One optimiser step, taken by all ranks or by none."""

from __future__ import annotations

import math
from collections.abc import Iterator

from torch import Tensor
from torch.nn.utils import clip_grads_with_norm_

from models.family import Batch
from worker.ranks.batches import Step
from worker.ranks.divergence import NAMED_TENSORS, Divergence, nonfinite_gradients
from worker.ranks.guard import StepVerdict, Terms, Wishes
from worker.ranks.trial import Trial
from worker.training.learner import Learner

SKIPPED_IN_A_ROW = 8  # steps without a usable fp16 gradient that make a divergence


def take_step(
    trial: Trial, learner: Learner, step: Step, batches: Iterator[Batch], wishes: Wishes
) -> tuple[StepVerdict, Terms]:
    """Train on one global batch; the verdict and the last micro-batch's loss terms.

    Raises:
        Divergence: a loss or the gradient is not finite; nothing has changed.
    """
    history = accumulate(learner, step, batches, wishes)
    learner.scaler.unscale_(learner.optimizer)
    gradients = [item.grad for item in learner.parameters() if item.grad is not None]
    norm, verdict = learner.guard.judge(gradients)
    _refuse_divergence(trial, learner, verdict, history)
    _update(learner, norm, verdict.norm)
    learner.progress.seen += step.samples
    learner.progress.step += 1
    return verdict, history[-1] if history else {}


def accumulate(
    learner: Learner, step: Step, batches: Iterator[Batch], wishes: Wishes
) -> list[Terms]:
    """Add up the global batch's gradients; the loss terms of this rank's micro-batches."""
    guard, epoch = learner.guard, learner.progress.epoch
    guard.forget_gradients()
    history = guard.accumulate(epoch, learner.scaler, step, batches, wishes)
    for micro, terms in zip(step.micro_batches, history, strict=False):  # none but at the loss
        learner.losses.add(terms, micro.samples)
    return history


def _refuse_divergence(
    trial: Trial, learner: Learner, verdict: StepVerdict, history: list[Terms]
) -> None:
    """Raise on all ranks alike, since all have read the same verdict."""
    progress = learner.progress
    if verdict.nonfinite_ranks:
        raise _divergence(trial, learner, verdict, history)
    if math.isfinite(verdict.norm):
        progress.skipped = 0
        return
    progress.skipped += 1
    if not learner.scaler.is_enabled() or progress.skipped >= SKIPPED_IN_A_ROW:
        raise _divergence(trial, learner, verdict, history)


def _update(learner: Learner, norm: Tensor, told: float) -> None:
    """Clip by the device's `norm`, which is `told` on the host, and step."""
    threshold = learner.clipping.threshold
    if threshold is not None:
        clip_grads_with_norm_(learner.parameters(), threshold, norm)
    learner.clipping.saw(told)
    learner.scaler.step(learner.optimizer)
    learner.scaler.update()
    if learner.average and not learner.progress.skipped:
        learner.average.update(learner.model)


def _divergence(
    trial: Trial, learner: Learner, verdict: StepVerdict, history: list[Terms]
) -> Divergence:
    own = [{name: term.item() for name, term in terms.items()} for terms in history]
    last = own[-1] if own else {}
    worst = next((terms for terms in own if not math.isfinite(sum(terms.values()))), last)
    # All ranks come here together, so each may hand over its terms.
    words = trial.group.gather((worst, nonfinite_gradients(learner.named_trained())))
    ranks = verdict.nonfinite_ranks or verdict.gradient_ranks or list(range(trial.group.ranks))
    stages = trial.group.chain.ranks
    tensors = [name for rank in words[ranks[0] // stages * stages :][:stages] for name in rank[1]]
    return Divergence(
        "loss" if verdict.nonfinite_ranks else "gradient",
        step=learner.progress.step + 1,
        ranks=ranks,
        losses=words[ranks[0] // stages * stages][0],
        tensors=tensors[:NAMED_TENSORS],
    )
