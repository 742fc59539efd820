"""How a trial trains, from its first step to its last picture."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Iterator, Sequence

from models.family import Batch
from protocol.messages import Validated
from worker.ranks.batches import Step, epoch_order, epoch_steps, steps_per_epoch
from worker.ranks.divergence import Divergence
from worker.ranks.guard import Wishes
from worker.ranks.loading import BatchLoader
from worker.ranks.meter import Meter
from worker.ranks.stopping import StopAgreed, StopRequest
from worker.ranks.trial import Trial, open_split
from worker.ranks.validate import Validator
from worker.training.history import draw_history, history_name, read_history, write_history
from worker.training.keeping import Keeper
from worker.training.learner import Learner
from worker.training.pictures import draw_best
from worker.training.step import take_step
from worker.training.teller import Teller

log = logging.getLogger(__name__)

HISTORY_SECONDS = 120.0  # at least between two writings, for which other ranks wait


class Training:
    """One rank's training of one trial, or of one of its folds."""

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        self.meter = Meter(trial)
        self.learner = Learner(trial)
        self.loader = _loader(trial) if trial.group.leads else None
        self.samples = trial.group.from_first(self.loader.samples if self.loader else 0)
        self.validator = Validator.of_trial(trial) if trial.group.leads else None
        self.keeper = Keeper(trial, self.learner)
        self.stop = StopRequest(trial.folder.stop, looks=trial.group.first)
        self.teller = Teller(trial, steps_per_epoch(self.samples, trial.sharing))
        self.told: dict[int, Validated] = {}  # by epoch: what an earlier attempt came to
        self._validation_seconds = math.inf  # not known before the first one
        self._history_kept = time.monotonic()

    def run(self) -> None:
        """Train, validate, draw samples.

        Raises:
            Divergence: a number was not finite, on all ranks alike, and has been told.
            StopAgreed: the orchestrator asked for it; `last.pth` holds the state, it has been told.
        """
        try:
            self._begin()
            while not self.learner.progress.ended(self.trial.recipe):
                started = time.monotonic()
                self._train_epoch()
                if self.trial.group.any(self._due_before_validation()):
                    self.keeper.keep_last()
                self._validate_epoch(started)
                self.meter.look()
                if self._history_due():
                    self._keep_history()
            self.keeper.wait()
            self._keep_history()
            best_lost = not self.keeper.mend_best()
            if not best_lost:
                draw_best(self.trial, self.learner, self.teller)
            self.teller.finished(self.learner.progress, self.keeper.digest, best_lost=best_lost)
        except StopAgreed:
            self.keeper.keep_last()
            self.keeper.wait()
            self._keep_history()
            self.teller.stopped(self.stop.reason, self.learner.progress, self.keeper.digest)
            raise
        except Divergence as error:
            self.keeper.wait()
            self._keep_history()
            self.teller.diverged(error, self.learner.progress.epoch)
            raise
        except Exception:
            with contextlib.suppress(Exception):  # of which there is one to be told already
                self.keeper.wait()
            raise
        finally:
            self.meter.tell()

    def _begin(self) -> None:
        self.keeper.resume()
        progress = self.learner.progress
        self.teller.started(
            parameters=self.learner.placement.parameter_count,
            resumed_step=progress.step,
        )
        if progress.validated is not None:
            # A kill may have fallen between the checkpoint and the event.
            self.teller.validated(Validated.model_validate(progress.validated))
        told = self.teller.told
        self.keeper.agree_with(told)
        self.told = self.trial.group.from_first(told)

    def _train_epoch(self) -> None:
        """Take the steps that remain of this epoch."""
        learner, trial = self.learner, self.trial
        learner.model.train()
        trial.family.epoch_begins(learner.progress.epoch)
        order = epoch_order(trial.plan.seed, learner.progress.epoch, self.samples)
        self.take_steps(list(epoch_steps(order, trial.sharing, learner.progress.seen)))

    def take_steps(self, steps: Sequence[Step]) -> None:
        """Take steps of the present epoch; the model is in training mode.

        Raises:
            Divergence, StopAgreed: as `run`, but nothing is told.
        """
        learner, trial = self.learner, self.trial
        batches: Iterator[Batch] = iter(())  # of a rank that has later layers alone
        if self.loader is not None:
            wanted = [micro.indices for step in steps for micro in step.micro_batches]
            batches = self.loader.batches(learner.progress.epoch, wanted)
        for step in steps:
            self.keeper.look()
            self._set_rate()
            wishes = Wishes(stop=self.stop.requested(), save=self.keeper.due())
            verdict, losses = take_step(trial, learner, step, batches, wishes)
            if not self.keeper.writing:  # the epoch before may be told later otherwise
                self.teller.looked(learner.progress, losses, learner.rate, verdict.norm)
            if verdict.stop:
                raise StopAgreed
            if verdict.save:
                self.keeper.keep_last()

    def _validate_epoch(self, started: float) -> None:
        """Judge the epoch, and tell what it came to once the files that it tells of are written.

        After a kill before the next checkpoint the epoch is judged again, to the same end, and not
        told again.
        """
        learner, trial = self.learner, self.trial
        begun = time.monotonic()
        metrics = self._as_told(self.metrics())
        self._validation_seconds = time.monotonic() - begun
        earlier = learner.progress.best_epoch
        best = self._judge(metrics)
        self.keeper.keep_validated(metrics, earlier if best else None)
        learner.learning_rate.validated(metrics)
        event = Validated(
            attempt=trial.plan.attempt,
            epoch=learner.progress.epoch,
            step=learner.progress.step,
            metrics=metrics,
            losses=learner.losses.means(trial.group),
            learning_rate=learner.rate,
            seconds=time.monotonic() - started,
            best=best,
            last=trial.is_last_fold and learner.progress.ends_with_epoch(trial.recipe),
        )
        kept = self.keeper.holds_present
        self.keeper.after_writing(lambda: self._tell(event, kept=kept))
        learner.progress.next_epoch()
        learner.losses.clear()
        if learner.progress.ended(trial.recipe) or trial.group.any(self.keeper.due()):
            self.keeper.keep_last()

    def _tell(self, event: Validated, *, kept: bool) -> None:
        """Tell of an epoch, whose training is in `last.pth` if it was kept."""
        progress = self.learner.progress
        digests = {
            "digest": self.keeper.digest if kept else "",
            "best_digest": progress.best_digest if event.best else "",
        }
        event = event.model_copy(update=digests)
        progress.validated = event.model_dump()
        self.teller.validated(event)

    def metrics(self) -> dict[str, float]:
        """Every validation metric of the model as it is judged.

        Raises:
            StopAgreed: the orchestrator asked for it.
        """
        learner, trial = self.learner, self.trial
        if trial.group.chain.ranks > 1:
            from worker.pipeline.judging import split_metrics

            return split_metrics(trial, learner.judged_model, self.validator, self.stop.requested)
        assert self.validator is not None
        return self.validator.metrics(learner.judged_runner, self.stop.requested, trial.tick)

    def _due_before_validation(self) -> bool:
        """Whether to keep what was trained before it is validated, which may take long."""
        trial = self.trial
        epoch = trial.fold * trial.recipe.epochs + self.learner.progress.epoch
        return epoch in trial.plan.digest_epochs or self.keeper.due(within=self._validation_seconds)

    def _as_told(self, metrics: dict[str, float]) -> dict[str, float]:
        """The metrics that an earlier attempt told of this epoch, on which others have acted."""
        told = self.told.get(self.learner.progress.epoch)
        if told is None:
            return metrics
        if told.metrics != metrics and self.trial.group.first:
            log.warning(
                "epoch %d comes to %s now, and came to %s before the interruption; that holds",
                told.epoch,
                metrics,
                told.metrics,
            )
        return told.metrics

    def _history_due(self) -> bool:
        done = self.learner.progress.epoch - 1
        waited = time.monotonic() - self._history_kept
        return waited >= HISTORY_SECONDS and done % self.trial.plan.history_epochs == 0

    def _keep_history(self) -> None:
        """Write what was told so far as a table, and as curves."""
        trial = self.trial
        self._history_kept = time.monotonic()
        if trial.group.first:
            told = [e for e in read_history(trial.folder.events) if e.fold == trial.fold]
            write_history(trial.place, told)
            if trial.plan.pictures > 0:
                name = history_name(trial.plan, trial.fold)
                draw_history(trial.place, told, trial.plan.objective.metric, name)

    def _judge(self, metrics: dict[str, float]) -> bool:
        """Whether these metrics are the best so far, on all ranks the same."""
        objective, progress = self.trial.plan.objective, self.learner.progress
        value = metrics[objective.metric]
        if not math.isfinite(value):
            raise Divergence(
                "validation",
                step=progress.step,
                ranks=list(range(self.trial.group.ranks)),
                losses=metrics,
                tensors=[],
            )
        if not objective.better(value, progress.best):
            return False
        told = self.told.get(progress.epoch)
        if told is not None:
            progress.best_digest = told.best_digest
        progress.best = value
        progress.best_epoch, progress.best_metrics = progress.epoch, metrics
        return True

    def _set_rate(self) -> None:
        progress = self.learner.progress
        epochs_done = progress.epoch - 1 + progress.seen / self.samples
        self.learner.set_rate(
            self.learner.learning_rate.at(step=progress.step, epochs_done=epochs_done)
        )


def _loader(trial: Trial) -> BatchLoader:
    return BatchLoader(
        open_split(trial.family, "train"),
        seed=trial.plan.seed,
        workers=trial.recipe.loader_workers,
        device=trial.group.device,
    )
