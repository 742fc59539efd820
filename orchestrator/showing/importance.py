"""Which keys mattered, and how far that can be trusted."""

from __future__ import annotations

import random
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from optuna.importance import get_param_importances
from optuna.trial import FrozenTrial, TrialState

from orchestrator import words
from orchestrator.showing.look import Look

RESAMPLES = 20
_MOST_TRIALS = 2000  # in one resample: more do not change what it says
_FEW_PER_KEY = 10


@dataclass(frozen=True, kw_only=True)
class Importance:
    """Of every searched key, the largest share first."""

    shares: dict[str, float]  # they sum to 1
    lows: dict[str, float]  # of nine in ten resamples
    highs: dict[str, float]
    word: str  # how far to trust it


def importance(look: Look) -> Importance | None:
    """PED-ANOVA's shares (Watanabe et al., IJCAI 2023), with their spread over resampled trials.

    None where fewer than two trials are complete or nothing varied.
    """
    complete = [
        trial
        for trial in look.trials
        if trial.state is TrialState.COMPLETE and trial.value is not None
    ]
    shares = _shares(look, complete)
    if not shares:
        return None
    draw = random.Random(0)
    size = min(len(complete), _MOST_TRIALS)
    samples = [_shares(look, draw.choices(complete, k=size)) for _ in range(RESAMPLES)]
    spread = {key: sorted(sample.get(key, 0.0) for sample in samples) for key in shares}
    ordered = sorted(shares, key=lambda key: -shares[key])
    agree = fmean(
        max(sample, key=lambda key: sample[key], default="") == ordered[0] for sample in samples
    )
    return Importance(
        shares={key: shares[key] for key in ordered},
        lows={key: spread[key][1] for key in ordered},
        highs={key: spread[key][-2] for key in ordered},
        word=_word(len(complete), ordered, agree),
    )


def _shares(look: Look, trials: Sequence[FrozenTrial]) -> dict[str, float]:
    if len(trials) < 2 or len({trial.value for trial in trials}) < 2:
        return {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of few trials: the word says so
            return dict(get_param_importances(look.study_of(trials)))
    except (ValueError, RuntimeError):  # nothing varied, or too few trials have it
        return {}


def _word(complete: int, ordered: Sequence[str], agree: float) -> str:
    counted = words.counted(complete, "complete trial")
    first = f"{ordered[0]} comes first in {100 * agree:.0f} % of {RESAMPLES} resamples of them"
    if complete < _FEW_PER_KEY * len(ordered):
        trust = (
            f"That is few for {words.counted(len(ordered), 'key')} (ten for each would be a "
            "beginning): take it for a hint, no more"
        )
    elif agree < 0.8:
        trust = "The order is not settled: take it for a hint"
    else:
        trust = "The first place is settled, the order of small shares hardly ever is"
    return (
        f"From {counted}; {first}; bars have the range of nine in ten. {trust}. Shares tell which "
        "keys the good trials differ in from all, within the ranges that were searched, and where "
        "a sampler looks most it sees most; nothing is said of keys that were fixed."
    )
