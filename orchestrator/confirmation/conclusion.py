"""Whether the winner is luck, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator import words
from orchestrator.confirmation.saved import Comparison, Confirmed

_LUCK = 0.05  # a gap as wide as this often, or more often, among equals may be luck
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")


def conclusion(
    trials: Sequence[Confirmed], comparison: Comparison | None, favourite: int | None, metric: str
) -> str:
    """What the runs say, for people.

    Args:
        trials: ranked, the best first.
        comparison: of the first two that have a mean.
        favourite: the search's own best trial.
        metric: the objective's name.
    """
    if not trials or trials[0].mean is None:
        return "No run is complete yet, so nothing is confirmed."
    sentences = [_about_the_gap(trials, comparison, metric)]
    sentences += _about_the_favourite(trials, favourite)
    sentences += _about_its_failures(trials[0])
    return " ".join(sentences)


def _about_the_gap(trials: Sequence[Confirmed], comparison: Comparison | None, metric: str) -> str:
    if comparison is None:
        return (
            f"Trial {trials[0].trial} is the only one with a mean; there is none to compare it to."
        )
    gap = f"{words.number(abs(comparison.by))} {metric}"
    ahead = f"Trial {comparison.winner} is ahead of trial {comparison.runner_up} by {gap}"
    if comparison.p_value is None:
        alone = [f"trial {trial.trial}" for trial in trials[:2] if len(trial.values) < 2]
        if not alone:
            return f"{ahead}; neither varies from seed to seed, so that there is nothing to test."
        have = "have a single one each" if len(alone) > 1 else "has a single one"
        return (
            f"{ahead}, but whether that is luck takes two complete runs of each to tell, and "
            f"{' and '.join(alone)} {have}; more --seeds would."
        )
    tested = f"Welch's t-test, p = {comparison.p_value:.2g}"
    if comparison.p_value < _LUCK:
        return f"{ahead}, which is unlikely to be luck ({tested})."
    return f"{ahead}, which may well be luck ({tested}); more --seeds would tell."


def _about_the_favourite(trials: Sequence[Confirmed], favourite: int | None) -> list[str]:
    ranked = [trial.trial for trial in trials if trial.mean is not None]
    if favourite not in ranked or ranked[0] == favourite:
        return []
    place = ranked.index(favourite)
    ordinal = _ORDINALS[place] if place < len(_ORDINALS) else f"number {place + 1}"
    return [f"The search's best, trial {favourite}, comes {ordinal} when it is trained again."]


def _about_its_failures(winner: Confirmed) -> list[str]:
    lost = winner.count("diverged") + winner.count("failed")
    if not lost:
        return []
    ended = [
        f"{winner.count(state)} {state}" for state in ("diverged", "failed") if winner.count(state)
    ]
    return [
        f"Mind that of the {len(winner.runs)} runs of trial {winner.trial} {' and '.join(ended)}, "
        "which its mean leaves out."
    ]
