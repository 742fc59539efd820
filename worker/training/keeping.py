"""What a trial's checkpoints hold, and going on from them."""

from __future__ import annotations

import logging
import time
from typing import Any

from protocol.errors import CheckpointError
from protocol.folders import RunFolder
from worker.ranks.trial import Trial
from worker.training.checkpoint import load_checkpoint, save_checkpoint, save_last
from worker.training.learner import Learner

log = logging.getLogger(__name__)


class Keeper:
    """Writes checkpoints on rank 0, which has all of the state or gathers it."""

    def __init__(self, trial: Trial, learner: Learner) -> None:
        self._trial = trial
        self._learner = learner
        self._saved_at = time.monotonic()
        if trial.group.first:
            trial.place.path.mkdir(exist_ok=True)

    @property
    def due(self) -> bool:
        """Whether rank 0 wants a checkpoint within the epoch."""
        waited = time.monotonic() - self._saved_at
        return self._trial.group.first and waited >= self._trial.plan.checkpoint_seconds

    def keep_last(self) -> None:
        """Write `last.pth`; to be called by all ranks, who hand over their loss sums."""
        losses = self._learner.losses.gathered(self._trial.group)
        content = self._portrait({}) | {"training": self._learner.state(losses)}
        if self._trial.group.first:
            save_last(self._trial.place, content)
            self._saved_at = time.monotonic()
        self._trial.tick()

    def keep_validated(self, metrics: dict[str, float], best: bool) -> None:
        """Write `best.pth` if the weights just validated are the best, and each k-th epoch's.

        To be called by all ranks.
        """
        every, epoch = self._trial.plan.checkpoint_epochs, self._learner.progress.epoch
        kept = [self._trial.place.best] if best else []
        if every and epoch % every == 0:
            kept.append(self._trial.place.epoch(epoch))
        content = self._portrait(metrics) if kept else {}
        if self._trial.group.first:
            for path in kept:
                save_checkpoint(path, content)
        self._trial.tick()

    def _portrait(self, metrics: dict[str, float]) -> dict[str, Any]:
        """The weights in use, and all that is needed to build their model again."""
        plan = self._trial.plan
        return {
            "model": self._learner.judged_weights(),
            "epoch": self._learner.progress.epoch,
            "metrics": metrics,
            "study": plan.study,
            "trial": plan.trial,
            "seed": plan.seed,
            "family": plan.family,
            "recipe": dict(plan.recipe.given),
            "micro_batch": plan.micro_batch,  # for those who judge it, also in want of memory
            "data": plan.data,
            "objective": plan.objective.model_dump(),
        }


def resume(trial: Trial, learner: Learner) -> None:
    """Go on from the newest whole checkpoint of this trial, where there is one.

    Raises:
        CheckpointError: there are checkpoints, but none is whole.
    """
    newest = _newest(trial.place) if trial.group.first else None
    path = trial.group.from_first(newest[0] if newest else None)
    if path is None:
        return
    content = newest[1] if newest else load_checkpoint(path)
    learner.restore(content["model"], content["training"], trial)
    log.info("going on from %s at step %d", path.name, learner.progress.step)


def _newest(folder: RunFolder) -> tuple[Any, dict[str, Any]] | None:
    present = [path for path in (folder.last, folder.previous) if path.exists()]
    for path in present:
        try:
            return path, load_checkpoint(path)
        except CheckpointError as error:
            log.warning("%s", error)
    if present:
        names = " and ".join(str(path) for path in present)
        raise CheckpointError(f"{names} damaged; without them the trial would start anew")
    return None
