"""Which trials a plot shows where all of them would make it unusable."""

from __future__ import annotations

from collections.abc import Sequence

from optuna.trial import FrozenTrial

from orchestrator.study.record import StudyRecord


def thinned(
    trials: Sequence[FrozenTrial], record: StudyRecord, most: int
) -> tuple[list[FrozenTrial], str]:
    """At most about `most` of some trials of a study, by number, and a word on what was left out.

    Every trial that was the best when it ended stays, so that the best value so far is as it was;
    then a third is of the best and the rest evenly of all others.
    """
    if len(trials) <= most:
        return list(trials), ""
    there = {trial.number: trial for trial in trials}
    kept = [number for number in _improvements(record) if number in there][-most:]
    ranked = [trial.number for trial in record.ranked if trial.number in there]
    chosen = dict.fromkeys([*kept, *ranked[: most // 3]])
    others = [number for number in there if number not in chosen]
    room = max(0, most - len(chosen))
    chosen |= dict.fromkeys(others[index * len(others) // room] for index in range(room))
    shown = [there[number] for number in sorted(chosen)]
    word = (
        f"{len(shown)} of {len(trials)} trials are drawn: those that were the best when they "
        f"ended, the best {min(most // 3, len(ranked))}, and evenly some of the others."
    )
    return shown, word


def _improvements(record: StudyRecord) -> list[int]:
    sign = 1.0 if record.direction == "minimize" else -1.0
    best, found = None, []
    for trial in sorted(record.ranked, key=lambda trial: trial.number):
        assert trial.value is not None
        if best is None or sign * trial.value < best:
            best = sign * trial.value
            found.append(trial.number)
    return found
