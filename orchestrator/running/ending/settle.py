"""Ending a trial for good: the outcome on disk, then its note and pictures, then the tell.

Every step can be repeated after a kill: the outcome file decides, the rest is idempotent.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable

import optuna
from optuna.trial import FrozenTrial, TrialState

from orchestrator.database.gathering import Gathered
from orchestrator.ledger.trial import NOTE as LEDGER
from orchestrator.ledger.trial import trial_account
from orchestrator.reporting.notes import annotate_trial
from orchestrator.running import memory_rule
from orchestrator.running.folds import best_epoch, best_epochs, mean_metrics, unique_epochs
from orchestrator.running.room import comes_of_full_disk
from orchestrator.running.trial import RunningTrial
from orchestrator.running.verdict import Verdict
from protocol.bests import cut_best, forget_superseded
from protocol.files import sha256_of, sweep_partials
from protocol.folders import StudyFolder, TrialFolder
from protocol.messages import (
    Ending,
    Failed,
    Finished,
    NonFinite,
    Outcome,
    Validated,
    latest_plan,
    save_message,
)
from protocol.objective import Objective

log = logging.getLogger(__name__)

STATES = {
    Ending.COMPLETED: TrialState.COMPLETE,
    Ending.PRUNED: TrialState.PRUNED,
    Ending.NONFINITE: TrialState.PRUNED,
    Ending.MEMORY: TrialState.PRUNED,  # once no micro-batch is small enough
    Ending.INVALID: TrialState.PRUNED,
    Ending.OVERDUE: TrialState.PRUNED,  # what it came to counts as far as it goes
    Ending.CANCELLED: TrialState.PRUNED,  # likewise
    Ending.FAILED: TrialState.FAIL,
    # Once it has been resumed often enough.
    Ending.LOST: TrialState.FAIL,
    Ending.HUNG: TrialState.FAIL,
    Ending.INTERRUPTED: TrialState.FAIL,
    Ending.MOVED: TrialState.FAIL,  # which is resumed always
}
ELSEWHERE = "ended_elsewhere"  # in an outcome's detail: the state in which others told the trial
OUTCOME_SHA256 = "outcome_sha256"  # the user attribute that holds a trial to its outcome.json
_CONSTRAINTS = {  # that an ending violates
    Ending.NONFINITE: "finite",
    Ending.MEMORY: "memory",
    Ending.INVALID: "valid",
}


def make_outcome(running: RunningTrial, verdict: Verdict) -> Outcome:
    """The outcome of a trial that ends by `verdict`."""
    events = running.record if verdict.ending is Ending.PRUNED else running.events
    validated = unique_epochs(events)
    of_folds = best_epochs(validated, running.objective)
    best = best_epoch(of_folds, running.objective)
    decided = verdict.event
    metrics, at_epoch = mean_metrics(of_folds), best.epoch if best else 0
    reason = _reason(running, verdict)
    if isinstance(decided, Finished) and _disagrees(decided, metrics, at_epoch):
        # The ranks say it of their own state, the lines of epochs may have been lost.
        metrics, at_epoch = decided.metrics, decided.best_epoch
        reason += f"; {running.folder.events.name} lacks epochs that were trained"
    return Outcome(
        ending=verdict.ending,
        reason=reason,
        attempts=running.number_of_attempt + 1,
        value=metrics.get(running.objective.metric),
        epoch=validated[-1].epoch if validated else 0,
        best_epoch=at_epoch,
        step=decided.step if isinstance(decided, NonFinite | Finished) else _last_step(validated),
        metrics=metrics,
        traceback=decided.traceback if isinstance(decided, Failed) else "",
        detail=_detail(running, verdict),
        folds=[event.metrics[running.objective.metric] for event in of_folds]
        if running.folds > 1
        else [],
    )


def keep_outcome(folder: TrialFolder, outcome: Outcome) -> None:
    """Write a trial's outcome, with the SHA-256 of what is complete now that the ranks are gone.

    Checkpoints aside, which have their own. What an earlier, killed writing said of them stays.
    """
    folder.path.mkdir(parents=True, exist_ok=True)  # of a point that was never launched
    files = [folder.events, folder.plans, *sorted(folder.pictures.glob("*.png"))]
    hashes = outcome.sha256 or {
        str(file.relative_to(folder.path)): sha256_of(file, fresh=False)
        for file in files
        if file.exists()
    }
    save_message(folder.outcome, outcome.model_copy(update={"sha256": hashes}))


def _disagrees(ended: Finished, metrics: dict[str, float], best_epoch: int) -> bool:
    """Whether the ranks' own end says otherwise than the epochs they told."""
    if not ended.metrics:
        return False
    same = metrics.keys() == ended.metrics.keys() and all(
        math.isclose(metrics[name], value, rel_tol=1e-9) for name, value in ended.metrics.items()
    )
    return not same or best_epoch != ended.best_epoch


def settle(
    study: optuna.Study, folder: StudyFolder, running: RunningTrial, outcome: Outcome
) -> None:
    """Write the outcome; then tell the study, in one step, of the trial's note and its end."""
    _cut_best(running, outcome)
    keep_outcome(running.folder, outcome)
    gathered = Gathered(study, running.frozen)
    trial = gathered.trial
    attributes = {
        OUTCOME_SHA256: sha256_of(running.folder.outcome, fresh=False),
        "ending": outcome.ending.value,
        "reason": outcome.reason,
        "epoch": outcome.epoch,
        "best_epoch": outcome.best_epoch,
        "attempts": outcome.attempts,
        "metrics": outcome.metrics,
        LEDGER: trial_account(running.folder, outcome.ending).packed(),
        **({"folds": outcome.folds} if outcome.folds else {}),
        **_reduced(running.folder),
    }
    for key, value in attributes.items():
        trial.set_user_attr(key, value)
    if outcome.ending in _CONSTRAINTS:
        _mark_infeasible(trial, running, outcome)
    _annotate(folder, trial, running, outcome)
    state = STATES[outcome.ending]
    told = outcome.value if state is TrialState.COMPLETE else None
    gathered.study.tell(trial, told, state=state, skip_if_finished=True)
    gathered.store()
    forget(running.folder)


def forget(trial: TrialFolder) -> None:
    """Remove what was kept while the trial could still be decided upon."""
    for place in trial.runs():
        forget_superseded(place)


def sweep_ended(study: optuna.Study, folder: StudyFolder) -> None:
    """Remove what kills left in the folders of trials that were told: halves of files as well."""
    for trial in study.get_trials(deepcopy=False):
        if trial.state.is_finished():
            for place in folder.trial(trial.number).runs():
                sweep_partials(place.path)
                forget_superseded(place)


def _cut_best(running: RunningTrial, outcome: Outcome) -> None:
    """Take back what ranks found better behind a decision to prune, which had not reached them."""
    if outcome.ending is not Ending.PRUNED or running.recipe is None:
        return
    validated = unique_epochs(running.events)
    places = running.folder.folds() if running.folds > 1 else [running.folder]
    for fold, place in enumerate(places):
        before = fold * running.recipe.training.epochs
        bests = [told.epoch - before for told in validated if told.best and told.fold == fold]
        cut_best(place, bests, outcome.epoch - before)


def _reduced(folder: TrialFolder) -> dict[str, int]:
    """The micro-batch of a trial whose `batch_size` did not fit into memory."""
    plan = latest_plan(folder)
    return {"micro_batch": plan.micro_batch} if plan and plan.micro_batch else {}


def _mark_infeasible(trial: optuna.Trial, running: RunningTrial, outcome: Outcome) -> None:
    """Make sure that the sampler takes what is impossible for worse than anything else.

    TPE ranks pruned trials by their last step first, so one that diverges late would count as
    promising; a violated constraint ranks it behind all others. The worst value seen stands at
    the step where it ended for whoever looks at the curve.
    """
    constraint = _CONSTRAINTS[outcome.ending]
    if constraint not in trial.constraints:
        trial.set_constraint(constraint, 1.0)
    if "epoch" not in outcome.detail:
        return  # it was never trained
    worst = _worst_value(trial.study.get_trials(deepcopy=False), running.objective)
    step = len(outcome.folds) if running.told_by_fold else int(outcome.detail["epoch"])
    known = running.frozen.intermediate_values
    if worst is not None and step not in known:
        trial.report(worst, step)


def _worst_value(trials: Iterable[FrozenTrial], objective: Objective) -> float | None:
    values = [
        value
        for trial in trials
        for value in trial.intermediate_values.values()
        if math.isfinite(value)
    ]
    if not values:
        return None
    return max(values) if objective.direction == "minimize" else min(values)


def _annotate(
    folder: StudyFolder, trial: optuna.Trial, running: RunningTrial, outcome: Outcome
) -> None:
    try:
        annotate_trial(trial, folder, running.folder, outcome)
    except Exception as error:
        if comes_of_full_disk(error):  # with room again, before the trial is told, all is written
            raise
        # A note is for convenience; the trial's result must not hang on it.
        log.exception("trial %d could not be annotated for the dashboard", running.number)


def _reason(running: RunningTrial, verdict: Verdict) -> str:
    plan = latest_plan(running.folder) if verdict.ending is Ending.MEMORY else None
    if plan is not None:
        told = memory_rule.sentence(plan, verdict.rank)
        crashed = verdict.event is None
        return f"{told} ({verdict.reason}, taken for a lack of memory)" if crashed else told
    return verdict.reason


def _detail(running: RunningTrial, verdict: Verdict) -> dict[str, object]:
    if isinstance(verdict.event, NonFinite):
        return _divergence(running, verdict.event)
    plan = latest_plan(running.folder) if verdict.ending is Ending.MEMORY else None
    if plan is None:
        return {}
    validated = unique_epochs(running.events)
    return {
        "epoch": validated[-1].epoch + 1 if validated else 1,
        **memory_rule.detail(plan, verdict.rank, verdict.reason),
        "parameters": running.trial.params,
    }


def _divergence(running: RunningTrial, event: NonFinite) -> dict[str, object]:
    return {
        "where": event.where,
        "epoch": event.epoch,
        "step": event.step,
        "ranks": event.ranks,
        "losses": {name: str(value) for name, value in event.losses.items()},
        "tensors": event.tensors,
        "parameters": running.trial.params,
    }


def _last_step(validated: list[Validated]) -> int:
    return validated[-1].step if validated else 0
