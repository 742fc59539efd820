"""Which of several studies has the better best, and by how much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator import words
from orchestrator.confirmation.saved import Confirmed
from orchestrator.settings.layers import leaves
from orchestrator.showing.asked import inputs
from orchestrator.showing.look import Look
from orchestrator.study.record import TrialRecord
from protocol.errors import SettingsError
from protocol.objective import ranked

# What says where and how long a study ran, and nothing of what was searched.
_ASIDE = ("preset", "deviations", "enqueue", "n_trials", "timeout", "storage", "tracking", "keep",
          "limits", "devices", "parallel_trials", "threads", "launcher", "pictures", "report",
          "notify", "yield_to_others", "stop_when")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the studies: its best, and what training the best ones again came to."""

    look: Look
    winner: Confirmed | None  # the trial with the best mean, which may be another than the best

    @property
    def name(self) -> str:
        return self.look.name

    @property
    def best(self) -> TrialRecord | None:
        return self.look.best

    @property
    def value(self) -> float | None:
        return None if self.best is None else self.best.value

    @property
    def mean(self) -> float | None:
        return None if self.winner is None else self.winner.mean


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The studies, the best first, and what can be said of them."""

    sides: list[Side]
    verdict: str
    warnings: list[str]
    differing: dict[str, list[str]]  # settings, by dotted key: the value of each study


def compared(looks: Sequence[Look]) -> Comparison:
    """Compare studies by their best trials.

    Raises:
        SettingsError: they search for different metrics or in different directions.
    """
    _refuse_others(looks)
    sides = [_side(look) for look in looks]
    direction = looks[0].record.direction
    able = ranked(sides, lambda side: side.value, direction)
    sides = [*able, *(side for side in sides if side not in able)]
    return Comparison(
        sides=sides,
        verdict=_verdict(sides),
        warnings=_warnings(sides),
        differing=_differing([side.look for side in sides]),
    )


def _refuse_others(looks: Sequence[Look]) -> None:
    first = looks[0]
    for other in looks[1:]:
        for what, mine, theirs in (
            ("metric", first.metric, other.metric),
            ("direction", first.record.direction, other.record.direction),
        ):
            if mine != theirs:
                raise SettingsError(
                    f"study {first.name!r} has the {what} {mine}, and study {other.name!r} "
                    f"{theirs}; only studies that search for the same, in the same direction, can "
                    "be compared"
                )


def _side(look: Look) -> Side:
    confirmation = look.confirmation
    return Side(look=look, winner=confirmation.winner if confirmation else None)


def _verdict(sides: Sequence[Side]) -> str:
    metric = sides[0].look.metric
    match [(side.name, side.best, side.value) for side in sides[:2]]:
        case [
            (one, TrialRecord() as first, float(best)),
            (other, TrialRecord() as second, float(value)),
        ]:
            said = (
                f"The best of {one} (trial {first.number}) is better than that of {other} (trial "
                f"{second.number}) by {words.number(abs(best - value))} {metric}."
            )
            if best == value:
                said = f"The best trials of {one} and {other} are equal in {metric}."
            return f"{said} {_tested(sides)}"
    return "There are no two studies with a complete trial, so there is nothing to compare."


def _tested(sides: Sequence[Side]) -> str:
    """The two best means against each other, where they were confirmed."""
    direction, metric = sides[0].look.record.direction, sides[0].look.metric
    order = [side for side in sides if side.winner is not None and side.mean is not None]
    if len(order) < 2:
        return (
            "Each value is the best of many trainings: without `confirm` on both studies nothing "
            "is known of luck."
        )
    one, other = ranked(order, lambda side: side.mean, direction)[:2]
    assert one.winner is not None
    assert other.winner is not None
    # SciPy is imported here alone, which takes a third of a second.
    from orchestrator.confirmation.statistics import LEVEL, difference, estimate

    better, worse = one.winner.values, other.winner.values
    by = abs(estimate(better).mean - estimate(worse).mean)
    said = (
        f"Trained again with fresh seeds, {one.name} is ahead of {other.name} by "
        f"{words.number(by)} {metric} in the mean"
    )
    found = difference(better, worse)
    if found is None:
        return f"{said}; of so few runs no interval is known."
    sign = 1.0 if direction == "maximize" else -1.0
    low, high = sorted((sign * found.low, sign * found.high))
    luck = "which may well be luck" if low <= 0 else "which is hardly luck"
    return (
        f"{said} ({100 * LEVEL:.0f} % interval {words.number(low)} to {words.number(high)}, "
        f"Welch's t-test, p = {found.p_value:.2g}), {luck}."
    )


def _warnings(sides: Sequence[Side]) -> list[str]:
    prints = {side.name: _data(side.look) for side in sides}
    known = {name: found for name, found in prints.items() if found}
    warnings = []
    if len(set(known.values())) > 1:
        listed = ", ".join(f"{name} {found[:12]}" for name, found in known.items())
        warnings.append(
            f"They were not judged on the same data (fingerprints: {listed}): values of different "
            "validation splits do not tell which is better."
        )
    folds = {side.look.settings.get("folds", 1) for side in sides}
    if len(folds) > 1:
        warnings.append("Some values are means over folds, and others are not.")
    unfinished = [s.name for s in sides if s.look.record.counts["running"]]
    if unfinished:
        warnings.append(f"Trials of {', '.join(unfinished)} are still running.")
    return warnings


def _data(look: Look) -> str:
    return str(inputs(look).get("data.root", {}).get("fingerprint", ""))


def _differing(looks: Sequence[Look]) -> dict[str, list[str]]:
    known = [
        {k: v for k, v in leaves(look.settings).items() if k.split(".")[0] not in _ASIDE}
        for look in looks
    ]
    keys = dict.fromkeys(key for values in known for key in values)
    shown = {key: [_spelled(values.get(key)) for values in known] for key in keys}
    return {key: values for key, values in shown.items() if len(set(values)) > 1}


def _spelled(value: Any) -> str:
    if value is None:
        return "-"
    return words.without_passwords(words.setting(value))
