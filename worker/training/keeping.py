"""What a trial's checkpoints hold, and going on from them."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

from protocol.bests import set_aside
from protocol.errors import CheckpointError
from protocol.files import copy_verified
from protocol.folders import RunFolder
from worker.ranks.trial import Trial
from worker.training.checkpoint import load_checkpoint, read_checkpoint, save_checkpoint, save_last
from worker.training.learner import Learner

log = logging.getLogger(__name__)


class Keeper:
    """Writes checkpoints on rank 0, which has all of the state or gathers it.

    Attributes:
        digest: of what training decides of `last.pth`; on rank 0.
    """

    def __init__(self, trial: Trial, learner: Learner) -> None:
        self._trial = trial
        self._learner = learner
        self._saved_at = time.monotonic()
        self._saved: tuple[int, int] | None = None  # the epoch and step of `last.pth`
        self.digest = ""
        if trial.group.first:
            trial.place.path.mkdir(exist_ok=True)

    @property
    def due(self) -> bool:
        """Whether rank 0 wants a checkpoint within the epoch."""
        waited = time.monotonic() - self._saved_at
        return self._trial.group.first and waited >= self._trial.plan.checkpoint_seconds

    def resume(self) -> None:
        """Go on from the newest whole checkpoint of this trial, where there is one.

        Raises:
            CheckpointError: there are checkpoints, but none is whole.
        """
        trial = self._trial
        newest = _newest(trial.place) if trial.group.first else None
        path = trial.group.from_first(newest[0] if newest else None)
        if path is None:
            return
        content = newest[1] if newest else load_checkpoint(path)
        self.digest = newest[2] if newest else ""
        self._learner.restore(content["model"], content["training"], trial)
        self._saved = self._place
        log.info("going on from %s at step %d", path.name, self._learner.progress.step)

    @property
    def _place(self) -> tuple[int, int]:
        return self._learner.progress.epoch, self._learner.progress.step

    def keep_last(self) -> None:
        """Write `last.pth`, unless it holds the present state already.

        To be called by all ranks, who hand over their loss sums.
        """
        if self._saved == self._place:
            return
        losses = self._learner.losses.gathered(self._trial.group)
        content = self._portrait(self._learner.progress.epoch, {}) | {
            "training": self._learner.state(losses)
        }
        if self._trial.group.first:
            self.digest = save_last(self._trial.place, content)
            self._saved_at = time.monotonic()
        self._saved = self._place
        self._trial.tick()

    def keep_validated(self, metrics: dict[str, float], earlier: int | None) -> str:
        """Write `best.pth` if the weights just validated are the best, and each k-th epoch's.

        To be called by all ranks.

        Args:
            metrics: of these weights.
            earlier: the best epoch before them, if they are the best; else None.

        Returns:
            The digest of what was written on rank 0, or "".
        """
        every, epoch = self._trial.plan.checkpoint_epochs, self._learner.progress.epoch
        place = self._trial.place
        kept = [place.best] if earlier is not None else []
        if every and epoch % every == 0:
            kept.append(place.epoch(epoch))
        content = self._portrait(epoch, metrics) if kept else {}
        digest = ""
        if self._trial.group.first:
            if earlier:
                set_aside(place, earlier)
            for path in kept:
                digest = save_checkpoint(path, content)
        self._trial.tick()
        return digest

    def mend_best(self) -> bool:
        """Make `best.pth` once more if it is lost or damaged; whether it can be read now.

        To be called by all ranks when all is trained, with the last epoch's weights: an earlier
        epoch's are at hand only where they were kept under its number.
        """
        place, progress = self._trial.place, self._learner.progress
        problem = _problem(place.best) if self._trial.group.first else ""
        problem = self._trial.group.from_first(problem)
        if not problem:
            return True
        log.warning("%s", problem)
        if progress.best_epoch == progress.epoch - 1:
            content = self._portrait(progress.best_epoch, progress.best_metrics)
            if self._trial.group.first:
                save_checkpoint(place.best, content)
        elif self._trial.group.first and not _problem(place.epoch(progress.best_epoch)):
            copy_verified(place.epoch(progress.best_epoch), place.best)
        return self._trial.group.from_first(
            not _problem(place.best) if self._trial.group.first else True
        )

    def _portrait(self, epoch: int, metrics: dict[str, float]) -> dict[str, Any]:
        """The weights in use, those of `epoch`, and all that is needed to build their model."""
        plan = self._trial.plan
        return {
            "model": self._learner.judged_weights(),
            "epoch": epoch,
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


def _problem(path: Path) -> str:
    """Why a checkpoint cannot be read; nothing where it can."""
    try:
        read_checkpoint(path)
    except CheckpointError as error:
        return str(error)
    return ""


def _newest(folder: RunFolder) -> tuple[Path, dict[str, Any], str] | None:
    """The newest whole checkpoint, its content and digest; a damaged one after it is removed."""
    present = [path for path in (folder.last, folder.previous) if path.exists()]
    for path in present:
        try:
            content, digest = read_checkpoint(path)
        except CheckpointError as error:
            log.warning("%s", error)
            continue
        if path != folder.last:  # or the next one would push it over the one that is whole
            folder.last.unlink(missing_ok=True)
        return path, content, digest
    if present:
        names = " and ".join(str(path) for path in present)
        raise CheckpointError(f"{names} damaged; without them the trial would start anew")
    return None
