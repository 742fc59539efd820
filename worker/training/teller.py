"""Telling the orchestrator what happens: rank 0's events, each told once."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from protocol.messages import (
    Event,
    Finished,
    FoldFinished,
    NonFinite,
    Pictured,
    Progressed,
    Started,
    Stop,
    Stopped,
    Validated,
    append_event,
    read_events,
)
from worker.ranks.divergence import Divergence
from worker.ranks.trial import Trial
from worker.state.progress import Progress

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0  # between two looks at training


class Teller:
    """Appends rank 0's events; on other ranks it is silent.

    Epochs and steps are told counted over all folds, so that each is told under one number.
    """

    def __init__(self, trial: Trial, steps_per_epoch: int) -> None:
        self._trial = trial
        self._steps_per_epoch = steps_per_epoch
        self._epochs_before = trial.fold * trial.recipe.epochs
        self._steps_before = self._epochs_before * steps_per_epoch
        self._attempt = trial.plan.attempt
        self._next_look = 0.0
        told = read_events(trial.folder.events) if trial.group.first else []
        self._told: dict[int, Validated] = {}
        for event in told:
            if isinstance(event, Validated):
                self._told.setdefault(event.epoch, event)
        self._pictures = {event.path for event in told if isinstance(event, Pictured)}

    @property
    def told(self) -> dict[int, Validated]:
        """What was told of epochs; on rank 0, by their numbers within the fold."""
        before, fold = self._epochs_before, self._trial.fold
        return {epoch - before: event for epoch, event in self._told.items() if event.fold == fold}

    def started(self, *, parameters: int, resumed_step: int) -> None:
        self._tell(
            Started(
                attempt=self._attempt,
                ranks=self._trial.group.ranks,
                stages=self._trial.plan.stages,
                epochs=self._trial.plan.folds * self._trial.recipe.epochs,
                steps_per_epoch=self._steps_per_epoch,
                parameters=parameters,
                resumed_step=self._steps_before + resumed_step,
            )
        )

    def looked(
        self, progress: Progress, losses: Mapping[str, Tensor], rate: float, norm: float
    ) -> None:
        """A look at the step just taken, if the last one is long enough ago."""
        if not self._trial.group.first or time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + LOOK_SECONDS
        self._tell(
            Progressed(
                attempt=self._attempt,
                epoch=self._epochs_before + progress.epoch,
                step=self._steps_before + progress.step,
                losses={name: term.item() for name, term in losses.items()},
                learning_rate=rate,
                gradient_norm=norm,
            )
        )

    def validated(self, event: Validated) -> None:
        """An epoch's result, unless an earlier attempt came to tell it before it was killed.

        It is the same then, but on hardware that adds up in another order every time.

        Args:
            event: with epoch and step counted within the fold.
        """
        event = event.model_copy(
            update={
                "epoch": self._epochs_before + event.epoch,
                "step": self._steps_before + event.step,
                "fold": self._trial.fold,
            }
        )
        if self._trial.group.first:
            log.info("%s", epoch_line(event, self._trial.plan.folds * self._trial.recipe.epochs))
        told = self._told.setdefault(event.epoch, event)
        if told is event:
            self._tell(event)
        elif any(
            "" not in digests and digests[0] != digests[1]
            for digests in ((told.digest, event.digest), (told.best_digest, event.best_digest))
        ):
            log.warning("epoch %d came to other weights than those that were told", event.epoch)

    def pictured(self, path: str) -> None:
        if path not in self._pictures:
            self._pictures.add(path)
            self._tell(Pictured(attempt=self._attempt, path=path))

    def diverged(self, error: Divergence, epoch: int) -> None:
        self._tell(
            NonFinite(
                attempt=self._attempt,
                epoch=self._epochs_before + epoch,
                step=self._steps_before + error.step,
                where=error.where,
                ranks=error.ranks,
                losses=error.losses,
                tensors=error.tensors,
            )
        )

    def stopped(self, reason: Stop, progress: Progress, digest: str) -> None:
        self._tell(
            Stopped(
                attempt=self._attempt,
                reason=reason,
                epoch=self._epochs_before + progress.epoch,
                step=self._steps_before + progress.step,
                digest=digest,
            )
        )

    def finished(self, progress: Progress, digest: str, *, best_lost: bool) -> None:
        """The end of the training; of a trial with folds, of this one.

        Args:
            progress: as it is in the last checkpoint.
            digest: of that checkpoint.
            best_lost: there is no `best.pth` that can be read.
        """
        told: dict[str, Any] = {
            "attempt": self._attempt,
            "epoch": self._epochs_before + progress.epoch - 1,
            "step": self._steps_before + progress.step,
            "early": progress.epoch <= self._trial.recipe.epochs,
            "best_epoch": self._epochs_before + progress.best_epoch,
            "metrics": progress.best_metrics,
            "digest": digest,
            "best_digest": progress.best_digest,
            "best_lost": best_lost,
        }
        folds = self._trial.plan.folds
        self._tell(FoldFinished(fold=self._trial.fold, **told) if folds > 1 else Finished(**told))

    def _tell(self, event: Event) -> None:
        if self._trial.group.first:
            append_event(self._trial.folder.events, event)


def epoch_line(event: Validated, epochs: int) -> str:
    """What the rank's log says of an epoch: `epoch 3/40, step 60: psnr 31.25; loss …`."""
    metrics, losses = (
        ", ".join(f"{name} {value:.5g}" for name, value in told.items())
        for told in (event.metrics, event.losses)
    )
    best = ", the best so far" if event.best else ""
    return (
        f"epoch {event.epoch}/{epochs}, step {event.step}: {metrics}{best}; trained to {losses}; "
        f"learning rate {event.learning_rate:.3g}, {event.seconds:.1f} s"
    )
