"""What a trial's checkpoints hold, and going on from them.

Training waits for a copy of its state in memory alone: hashing and writing are done beside it, one
file after the other. Whatever tells of a file waits until that is on the disk.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from protocol.bests import cut_best, set_aside
from protocol.errors import CheckpointError
from protocol.files import copy_verified
from protocol.folders import RunFolder
from protocol.messages import Validated
from worker.machine.memory import out_of_memory
from worker.ranks.trial import Trial
from worker.training.background import Background
from worker.training.checkpoint import load_checkpoint, read_checkpoint, save_checkpoint, save_last
from worker.training.learner import Learner
from worker.training.snapshot import Snapshot

log = logging.getLogger(__name__)


class Keeper:
    """Writes checkpoints on rank 0, which has all of the state or gathers it.

    Attributes:
        digest: of what training decides of `last.pth`, once it is written; on rank 0.
    """

    def __init__(self, trial: Trial, learner: Learner) -> None:
        self._trial = trial
        self._learner = learner
        self._saved_at = time.monotonic()
        self._saved: tuple[int, int] | None = None  # the epoch and step of `last.pth`
        self._best_kept = 0  # the epoch up to which `best.pth` is what was told
        self._background = Background()
        self._snapshot = Snapshot()
        self.digest = ""
        if trial.group.first:
            trial.place.path.mkdir(exist_ok=True)

    def due(self, within: float = 0.0) -> bool:
        """Whether rank 0 wants a checkpoint before so many seconds have passed."""
        waited = time.monotonic() - self._saved_at
        return self._trial.group.first and waited + within >= self._trial.plan.checkpoint_seconds

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

    def agree_with(self, told: Mapping[int, Validated]) -> None:
        """Let `best.pth` be that of the best epoch that was told, also where it comes again.

        What was found better and not told will be found again; and a file that is lost is made once
        more, if its epoch is still to come. To be called by all ranks, after `resume`.

        Args:
            told: the epochs that earlier attempts told; on rank 0.
        """
        kept = self._restored_best(told) if self._trial.group.first else 0
        self._best_kept = self._trial.group.from_first(kept)

    def _restored_best(self, told: Mapping[int, Validated]) -> int:
        """The epoch up to which `best.pth` is as told."""
        progress, place = self._learner.progress, self._trial.place
        bests = {epoch: event.best_digest for epoch, event in told.items() if event.best}
        if progress.best_epoch:  # of which the event may be lost
            bests.setdefault(progress.best_epoch, progress.best_digest)
        if not bests:
            return 0
        epoch = max(bests)
        cut_best(place, list(bests), max(progress.epoch - 1, *told, 0))
        problem = _problem(place.best, bests[epoch])
        if not problem or epoch < progress.epoch:
            return epoch
        log.warning("%s; it is made once more", problem)
        place.best.unlink(missing_ok=True)
        return epoch - 1

    @property
    def _place(self) -> tuple[int, int]:
        return self._learner.progress.epoch, self._learner.progress.step

    @property
    def holds_present(self) -> bool:
        """Whether `last.pth` is of the present state, or will be."""
        return self._saved == self._place

    @property
    def writing(self) -> bool:
        """Whether something is still to be told of a file that is being written."""
        return self._background.busy

    def look(self) -> None:
        """Take note of what is written by now.

        Raises:
            CheckpointError: it could not be.
        """
        self._background.look()

    def wait(self) -> None:
        """Wait until all is written.

        Raises:
            CheckpointError: it could not be.
        """
        self._background.wait()

    def after_writing(self, then: Callable[[], None]) -> None:
        """Call `then` once all that was to be kept so far is written; in the order of asking."""
        self._background.after(then)

    def keep_last(self) -> None:
        """Write `last.pth`, unless it holds the present state already.

        To be called by all ranks, who hand over their loss sums.
        """
        if self.holds_present:
            return
        self.wait()  # so that what is known of it is a part of the state
        content = self._content()
        if self._trial.group.first:
            place = self._trial.place
            self._write(content, lambda copy: save_last(place, copy), self._last_written)
            self._saved_at = time.monotonic()
        self._saved = self._place
        self._trial.tick()

    def rehearse(self) -> None:
        """Take the memory that keeping checkpoints takes; to be called by all ranks."""
        content = self._content()
        if self._trial.group.first:
            self._snapshot.take(content)

    def keep_validated(self, metrics: dict[str, float], earlier: int | None) -> None:
        """Write `best.pth` if the weights just validated are the best, and each k-th epoch's.

        To be called by all ranks.

        Args:
            metrics: of these weights.
            earlier: the best epoch before them, if they are the best; else None.
        """
        every, epoch = self._trial.plan.checkpoint_epochs, self._learner.progress.epoch
        place = self._trial.place
        kept = [place.best] if earlier is not None and epoch > self._best_kept else []
        if every and epoch % every == 0:
            kept.append(place.epoch(epoch))
        content = self._portrait(epoch, metrics) if kept else {}

        def save(copy: dict[str, Any]) -> str:
            if earlier and place.best in kept:
                set_aside(place, earlier)
            digests = [save_checkpoint(path, copy) for path in kept]
            return digests[0]

        if self._trial.group.first and kept:
            self._write(content, save, self._best_written if place.best in kept else _ignore)
        self._trial.tick()

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

    def _write(
        self,
        content: dict[str, Any],
        save: Callable[[dict[str, Any]], str],
        then: Callable[[str], None],
    ) -> None:
        """Have a copy of `content` saved while training goes on, and `then` told its digest."""
        self.wait()  # the memory is that of the copy before
        try:
            copy, whole = self._snapshot.take(content)
        except Exception as error:
            if not out_of_memory(error, limited=self._trial.plan.memory_gb is not None):
                raise
            log.warning("training waits for its checkpoints, for want of memory: %s", error)
            then(save(content))
            return

        def work() -> str:
            whole()
            return save(copy)

        self._background.begin(work, then)

    def _content(self) -> dict[str, Any]:
        """Of `last.pth`; whole on rank 0."""
        losses = self._learner.losses.gathered(self._trial.group)
        portrait = self._portrait(self._learner.progress.epoch, {})
        return portrait | {"training": self._learner.state(losses)}

    def _last_written(self, digest: str) -> None:
        self.digest = digest

    def _best_written(self, digest: str) -> None:
        self._learner.progress.best_digest = digest

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


def _ignore(digest: str) -> None:
    """Nobody tells of this file."""


def _problem(path: Path, told: str = "") -> str:
    """Why a checkpoint cannot be read, or is not that of which a digest was told; else nothing."""
    try:
        found = read_checkpoint(path)[1]
    except CheckpointError as error:
        return str(error)
    return "" if told in ("", found) else f"{path} is not of the epoch that was told"


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
