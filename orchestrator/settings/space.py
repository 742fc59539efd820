"""The search space: its order, its conditions, and asking a trial for one point of it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from orchestrator.settings.schema import Choices, Range
from protocol.errors import SettingsError
from protocol.recipe import Recipe, TrainingRecipe

Search = Mapping[str, Range | Choices]


@dataclass(frozen=True, kw_only=True)
class Space:
    """What is searched, and the value of every other key: here the two are merged, once.

    Nobody else looks a value up among defaults, where it could be mistaken for the value meant.
    """

    search: Search
    fixed: Mapping[str, Any]  # the recipe's keys as settings give them; plans hold these
    values: Mapping[str, Any]  # of every key where it is not searched: defaults, then `fixed`
    scripted: bool = False  # the keys are a script's

    @classmethod
    def of(
        cls,
        search: Search,
        fixed: Mapping[str, Any],
        defaults: Mapping[str, Any],
        *,
        scripted: bool = False,
    ) -> Space:
        """A study's space; `defaults` are those of the family and of every family."""
        return cls(search=search, fixed=fixed, values={**defaults, **fixed}, scripted=scripted)

    def suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        """The point that the sampler chooses for this trial: the searched keys that hold there.

        Asking again for a trial that has some of its values already gives the same point.
        """
        return self._point(lambda key: _suggest_one(trial, key, distribution(self.search[key])))

    def drawn(self, sampler: optuna.samplers.RandomSampler) -> dict[str, Any]:
        """A random point, of no study."""
        nobody: Any = None  # which a random sampler looks at neither of
        return self._point(
            lambda key: sampler.sample_independent(
                nobody, nobody, key, distribution(self.search[key])
            )
        )

    def recipe(self, point: Mapping[str, Any]) -> Recipe:
        """What is fixed, and the searched keys' values of `point`.

        Raises:
            SettingsError: the point cannot be trained.
        """
        return Recipe.of({**self.fixed, **point}, scripted=self.scripted)

    def at(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """The searched keys whose conditions hold, with their values of `wanted`."""
        return self._point(lambda key: wanted[key])

    def _point(self, value: Callable[[str], Any]) -> dict[str, Any]:
        """The searched keys whose conditions hold, each with what `value` says of it."""
        # A searched key that does not hold has no value for conditions to see, not its default.
        values = {key: known for key, known in self.values.items() if key not in self.search}
        point = {}
        for key in self.ordered():
            if active(self.search[key], values):
                values[key] = point[key] = value(key)
        return point

    def ordered(self) -> list[str]:
        """The searched keys, each after the keys that its condition names.

        Raises:
            SettingsError: a condition names an unknown key, or conditions form a circle.
        """
        return ordered(self.search, self.values)

    def most(self, key: str) -> Any:
        """The largest value of a key that a trial may have."""
        return highest(self.search[key]) if key in self.search else self.values[key]

    @property
    def most_epochs(self) -> int | None:
        """Of any trial; None where only a script knows."""
        known = "epochs" in self.search or "epochs" in self.values
        most = self.most("epochs") if known else None
        return most if isinstance(most, int) else None


def distribution(spec: Range | Choices) -> BaseDistribution:
    """A searched key in Optuna's terms."""
    if isinstance(spec, Choices):
        return CategoricalDistribution(spec.choices)
    if spec.integer:
        return IntDistribution(
            int(spec.low), _highest(spec), log=spec.log, step=int(spec.step or 1)
        )
    return FloatDistribution(float(spec.low), _highest(spec), log=spec.log, step=spec.step)


def _highest(spec: Range) -> Any:
    """The last value that `low` and `step` lead to."""
    if spec.step is None:
        return spec.high
    low, high, step = (Decimal(str(value)) for value in (spec.low, spec.high, spec.step))
    last = low + (high - low) // step * step
    return int(last) if spec.integer else float(last)


def ordered(search: Search, fixed: Mapping[str, Any]) -> list[str]:
    """The searched keys, each after the keys that its condition names.

    Raises:
        SettingsError: a condition names an unknown key, or conditions form a circle.
    """
    for key, spec in search.items():
        for other in spec.when:
            if other not in search and other not in fixed:
                known = [*search, *fixed]
                near = difflib.get_close_matches(other, known, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise SettingsError(f"there is no key {other!r}{hint}", key=f"search.{key}.when")
    order: list[str] = []
    waiting = dict(search)
    while waiting:
        ready = [key for key, spec in waiting.items() if not any(k in waiting for k in spec.when)]
        if not ready:
            raise SettingsError(
                f"the conditions of {', '.join(waiting)} form a circle", key="search"
            )
        order.extend(ready)
        for key in ready:
            del waiting[key]
    return order


def active(spec: Range | Choices, values: Mapping[str, Any]) -> bool:
    """Whether a key's condition holds among the values chosen so far."""
    return all(
        values.get(key) in (wanted if isinstance(wanted, list) else [wanted])
        for key, wanted in spec.when.items()
    )


def highest(spec: Range | Choices) -> Any:
    """A range's upper end, the largest of numeric choices, else the first choice."""
    if isinstance(spec, Range):
        # The last value that can be reached in steps.
        return distribution(spec).high  # type: ignore[attr-defined]
    return max(numbers(spec), default=spec.choices[0])


def numbers(spec: Choices) -> list[int | float]:
    """Those of the choices that are numbers."""
    return [c for c in spec.choices if isinstance(c, int | float) and not isinstance(c, bool)]


def _suggest_one(trial: optuna.Trial, key: str, found: BaseDistribution) -> Any:
    match found:
        case CategoricalDistribution():
            return trial.suggest_categorical(key, found.choices)
        case IntDistribution():
            return trial.suggest_int(key, found.low, found.high, step=found.step, log=found.log)
        case FloatDistribution():
            return trial.suggest_float(key, found.low, found.high, step=found.step, log=found.log)
    raise TypeError(found)


def candidates(search: Search, recipe: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Recipes that together use every choice and both ends of every range."""
    base = {**recipe, **{key: _ends(spec)[0] for key, spec in search.items()}}
    yield dict(base)
    for key, spec in search.items():
        for value in _ends(spec)[1:]:
            yield {**base, key: value}


def sampled(search: Search, recipe: Mapping[str, Any], count: int) -> list[dict[str, Any]]:
    """Random points of the space, the same in every run.

    A key whose condition names a key of the family that is neither searched nor fixed is left out.
    """
    unknown = dict.fromkeys(other for spec in search.values() for other in spec.when)
    space = Space.of(search, recipe, {**unknown, **TrainingRecipe().model_dump()})
    sampler = optuna.samplers.RandomSampler(seed=0)
    return [space.drawn(sampler) for _ in range(count)]


def _ends(spec: Range | Choices) -> list[Any]:
    return list(spec.choices) if isinstance(spec, Choices) else [spec.low, spec.high]


def grid(search: Search) -> dict[str, list[Any]]:
    """Every value of every key, for a grid search.

    Raises:
        SettingsError: a key has infinitely many values.
    """
    return {key: _grid_values(key, spec) for key, spec in search.items()}


def _grid_values(key: str, spec: Range | Choices) -> list[Any]:
    if spec.when:
        raise SettingsError("a grid search cannot have conditions", key=f"search.{key}.when")
    if isinstance(spec, Choices):
        return list(spec.choices)
    if spec.log or (spec.step is None and not spec.integer):
        raise SettingsError(
            "a grid search needs `choices` or a `step`, found a continuous range",
            key=f"search.{key}",
        )
    low, step = Decimal(str(spec.low)), Decimal(str(spec.step or 1))
    count = int((Decimal(str(spec.high)) - low) // step) + 1
    number = int if spec.integer else float
    return [number(low + index * step) for index in range(count)]


def check_point(point: Mapping[str, Any], search: Search, place: str) -> None:
    """Refuse a point to be tried first that the search could never reach.

    Raises:
        SettingsError: naming the key and what it may be.
    """
    for key, value in point.items():
        if key not in search:
            near = difflib.get_close_matches(key, list(search), n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise SettingsError(
                f"not a searched key{hint}; searched are {', '.join(search)}", key=f"{place}.{key}"
            )
        expected = unreachable(value, search[key])
        if expected is not None:
            raise SettingsError(f"found {value!r}, expected {expected}", key=f"{place}.{key}")


def unreachable(value: Any, spec: Range | Choices) -> str | None:
    """What was expected instead of `value`; None for a value that the search can reach."""
    if isinstance(spec, Choices):
        return None if value in spec.choices else f"one of {spec.choices}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "a number"
    if not spec.low <= value <= spec.high:
        return f"{spec.low} to {spec.high}"
    if spec.integer and not isinstance(value, int):
        return "a whole number"
    step = spec.step or 0
    if step and (Decimal(str(value)) - Decimal(str(spec.low))) % Decimal(str(step)):
        return f"{spec.low} to {spec.high} in steps of {step}"
    return None
