"""When a search ends before its budget: what `stop_when` asks for, looked at as trials end.

A rule that has ended a search is written down, and holds until the budget is raised; from then on
it is overruled until it is set to something else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import optuna
from optuna.trial import FrozenTrial, TrialState

from orchestrator import words
from orchestrator.ledger.trial import ended_account, kept_account
from orchestrator.proposing.terminating import Terminating
from orchestrator.settings.schema import Settings, StopWhen
from orchestrator.study.counting.ignored import ignored_trials
from orchestrator.study.ranking import rank_trials
from orchestrator.study.standing.ruling import Ruling, keep_ruling, load_ruling
from protocol.folders import StudyFolder

_ENDED = (TrialState.COMPLETE, TrialState.PRUNED)
_LATEST = 10  # trials at least whose gain is taken for that of the next ones


class StopRules:
    """The rules of one run of a study.

    Args:
        folder: the study's.
        study: as it is open.
        say: tells people a sentence.
    """

    def __init__(
        self, folder: StudyFolder, study: optuna.Study, say: Callable[[str], None]
    ) -> None:
        self._folder, self._study, self._say = folder, study, say
        self._ruling = load_ruling(folder)
        self._terminating = Terminating(folder, study)
        self._seen: tuple[StopWhen, int, int] | None = None  # when the rules were looked at

    def reason(self, settings: Settings, budget: int) -> str:
        """Why the search ends here; empty while it goes on.

        Args:
            settings: that are in effect.
            budget: trials of the whole study.
        """
        asked = {
            name: value
            for name, value in settings.stop_when.model_dump(mode="json").items()
            if value is not None
        }
        if self._ruling.rule:
            if asked.get(self._ruling.rule) == self._ruling.asked:
                if budget <= self._ruling.n_trials:
                    return self._ruling.reason
                self._say(
                    f"{self._ruling.reason}; the budget of {words.counted(budget, 'trial')} "
                    "overrules that"
                )
            self._keep(self._ruling.over())
        if not asked:
            return ""
        ended = self._study.get_trials(deepcopy=False, states=_ENDED)
        seen = settings.stop_when, len(ended), budget
        if seen != self._seen:
            self._seen = seen
            self._look(settings, asked, budget, ended)
        return self._ruling.reason

    def _look(
        self,
        settings: Settings,
        asked: dict[str, object],
        budget: int,
        ended: Sequence[FrozenTrial],
    ) -> None:
        ignored = ignored_trials(self._study)
        ended = [trial for trial in ended if trial.number not in ignored]
        for rule, value in asked.items():
            if self._ruling.overruled.get(rule) == value:
                continue
            reason = self._holds(rule, settings, ended)
            if reason:
                self._keep(
                    self._ruling.model_copy(
                        update={"rule": rule, "asked": value, "reason": reason, "n_trials": budget}
                    )
                )
                self._say(f"no further trial begins: {reason}")
                return

    def _keep(self, ruling: Ruling) -> None:
        keep_ruling(self._folder, ruling)
        self._ruling = ruling

    def _holds(self, rule: str, settings: Settings, ended: Sequence[FrozenTrial]) -> str:
        """Why a rule ends the search; empty where it does not."""
        ranked = rank_trials(self._study)
        if not ranked:
            return ""
        best = ranked[0]
        when, metric = settings.stop_when, settings.objective.metric
        largest = settings.objective.direction == "maximize"
        assert best.value is not None, "it can be the best"
        match rule:
            case "value":
                assert when.value is not None, "it is asked for"
                reached = best.value >= when.value if largest else best.value <= when.value
                return (
                    f"trial {best.number} has reached {metric} {words.number(best.value)}, where "
                    f"{words.number(when.value)} was to be reached"
                    if reached
                    else ""
                )
            case "no_improvement":
                since = sum(_later(trial, best) for trial in ended)
                assert when.no_improvement is not None, "it is asked for"
                return (
                    f"{words.counted(since, 'trial')} ended without a better {metric} than "
                    f"{words.number(best.value)} of trial {best.number}"
                    if since >= when.no_improvement
                    else ""
                )
            case "expected_gain_per_gpu_hour":
                return self._gains_too_little(settings, ended, largest=largest)
            case _:
                return self._terminating.reason(settings, ended)

    def _gains_too_little(
        self, settings: Settings, ended: Sequence[FrozenTrial], *, largest: bool
    ) -> str:
        in_order = sorted(ended, key=lambda trial: (trial.datetime_complete, trial.number))
        count = max(_LATEST, len(in_order) // 2)
        before = _best_value(in_order[:-count], largest=largest)
        after = _best_value(in_order, largest=largest)
        if before is None or after is None:
            return ""
        hours = sum(map(self._hours, in_order[-count:]))
        least = settings.stop_when.expected_gain_per_gpu_hour
        assert least is not None, "it is asked for"
        gain = abs(after - before)
        if hours <= 0 or gain / hours >= least:
            return ""
        return (
            f"the latest {words.counted(count, 'trial')} gained {words.number(gain)} "
            f"{settings.objective.metric} in {words.number(round(hours, 3))} device-hours, less "
            f"than {words.number(least)} an hour"
        )

    def _hours(self, trial: FrozenTrial) -> float:
        kept = kept_account(trial.user_attrs)
        if kept is None:
            kept = ended_account(self._folder.trial(trial.number))
        return kept.device_hours


def _later(trial: FrozenTrial, best: FrozenTrial) -> bool:
    """Whether a trial ended after the best one."""
    if trial.datetime_complete is None or best.datetime_complete is None:
        return False
    return trial.datetime_complete > best.datetime_complete


def _best_value(trials: Sequence[FrozenTrial], *, largest: bool) -> float | None:
    values = [t.value for t in trials if t.state is TrialState.COMPLETE and t.value is not None]
    feasible = [value for value in values if value == value and abs(value) != float("inf")]
    if not feasible:
        return None
    return max(feasible) if largest else min(feasible)
