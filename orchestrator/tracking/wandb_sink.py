"""A trial as a run of Weights & Biases. The only file that imports wandb."""

from __future__ import annotations

import logging
from typing import Any, Literal

import wandb

from protocol.folders import StudyFolder, TrialFolder
from protocol.messages import Ending, Event, Outcome, Pictured, Plan, Progressed, Validated

log = logging.getLogger(__name__)

_INIT_SECONDS = 10.0
_BROKEN = (Ending.FAILED, Ending.LOST, Ending.HUNG)


class WandbRuns:
    """Opens runs; when the server cannot be reached, all of the session's are offline."""

    def __init__(
        self,
        study: StudyFolder,
        mode: Literal["online", "offline"],
        project: str,
        entity: str | None,
        token: str,
    ) -> None:
        self._study = study
        self._mode = mode
        self._project = project
        self._entity = entity
        self._token = token
        self._opened = False

    def open(self, folder: TrialFolder, plan: Plan) -> WandbSink:
        """The trial's run: the same one in every session.

        Raises:
            wandb.Error: the server was lost after it had been reached; the next session tells
                the trial again.
        """
        try:
            run = self._init(plan, self._mode)
        except wandb.Error as error:
            if self._opened or self._mode == "offline":
                raise
            log.warning("offline from here, send it later with `wandb sync`: %s", error)
            # W&B's service holds on to the run that it could not open; a new one does not.
            wandb.teardown()
            self._mode = "offline"
            run = self._init(plan, self._mode)
        self._opened = True
        return WandbSink(folder, run)

    def _init(self, plan: Plan, mode: Literal["online", "offline"]) -> wandb.Run:
        return wandb.init(
            project=self._project,
            entity=self._entity,
            group=plan.study,
            name=f"{plan.study} {plan.trial}",
            id=f"{plan.study}-{self._token}-{plan.trial}",
            job_type=plan.family,
            dir=str(self._study.path),
            mode=mode,
            resume="allow",
            reinit="create_new",  # several trials are open at once
            settings=wandb.Settings(
                init_timeout=_INIT_SECONDS,
                console="off",
                silent=True,
                # What this process uses, and the program it is, say nothing of the trial.
                x_disable_stats=True,
                x_disable_meta=True,
                disable_git=True,
                save_code=False,
            ),
        )


class WandbSink:
    """One trial's run."""

    def __init__(self, folder: TrialFolder, run: wandb.Run) -> None:
        self._folder = folder
        self._run = run
        self._step = 0
        self._exit_code = 0
        # The trial's own step counts: after a resume some come again, which W&B's would refuse.
        run.define_metric("step")
        run.define_metric("*", step_metric="step")

    def planned(self, plan: Plan) -> None:
        content = plan.model_dump(mode="json", exclude={"recipe"})
        config: Any = self._run.config  # its methods are untyped
        config.update({**plan.recipe.given, "plan": content}, allow_val_change=True)

    def event(self, event: Event) -> None:
        if isinstance(event, Pictured):
            self._picture(event)
        elif isinstance(event, Progressed | Validated):
            self._log(event.step, {"epoch": event.epoch, **_numbers(event)})

    def _picture(self, event: Pictured) -> None:
        path = self._folder.path / event.path
        if path.exists():
            self._log(self._step, {f"pictures/{path.stem}": wandb.Image(str(path))})

    def _log(self, step: int, content: dict[str, Any]) -> None:
        """At the trial's step, also as W&B counts, which in a resumed offline run begins anew."""
        self._step = max(step, self._step)
        self._run.log({"step": step, **content}, step=self._step)

    def ended(self, outcome: Outcome) -> None:
        summary = outcome.model_dump(mode="json", exclude={"metrics"})
        best = {f"best/{name}": value for name, value in outcome.metrics.items()}
        self._run.summary.update({**summary, **best})
        self._exit_code = 1 if outcome.ending in _BROKEN else 0

    def close(self) -> None:
        self._run.finish(exit_code=self._exit_code)


def _numbers(event: Progressed | Validated) -> dict[str, Any]:
    if isinstance(event, Progressed):
        terms = {f"train/{name}": value for name, value in event.losses.items()}
        shared = {"learning_rate": event.learning_rate, "gradient_norm": event.gradient_norm}
        return {**terms, **shared}
    means = {f"train_epoch/{name}": value for name, value in event.losses.items()}
    metrics = {f"validation/{name}": value for name, value in event.metrics.items()}
    return {**means, **metrics, "epoch_seconds": event.seconds}
