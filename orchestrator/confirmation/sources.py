"""Which trials of a search are trained again."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator import words
from orchestrator.errors import SettingsError
from orchestrator.record import StudyRecord, TrialRecord


@dataclass(frozen=True, kw_only=True)
class Sources:
    """The trials to train again, the best first, and what the user should know of the choice."""

    trials: list[TrialRecord]
    notices: list[str]


def best_sources(record: StudyRecord, top: int) -> Sources:
    """The best `top` trials; of trials with equal parameters only the best.

    Raises:
        SettingsError: no trial is complete.
    """
    if not record.ranked:
        counts = ", ".join(f"{count} {state}" for state, count in record.counts.items())
        raise SettingsError(
            f"no trial of study {record.name!r} is complete, so there is nothing to confirm "
            f"({counts or 'no trials'}); search on, or see `status` for why each ended"
        )
    chosen: list[TrialRecord] = []
    notices = []
    for trial in record.ranked:
        if len(chosen) == top:
            break
        twin = next((other for other in chosen if other.params == trial.params), None)
        if twin is None:
            chosen.append(trial)
        else:
            notices.append(
                f"trial {trial.number} has the same parameters as trial {twin.number} and is not "
                "trained again beside it"
            )
    if len(chosen) < top:
        notices.append(
            f"--top: found {words.counted(len(chosen), 'complete trial')} to confirm, "
            f"expected {top}; those there are will be taken"
        )
    return Sources(trials=chosen, notices=notices)
