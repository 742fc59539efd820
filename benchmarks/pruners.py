"""Which pruner finds a good configuration with the fewest epochs, on curves that are made up.

    python -m benchmarks.pruners [--seeds 7] [--epochs 30]

A search by the presets' sampler over a learning rate, a width and a choice, whose trials' errors
follow one of six families of curves. A pruner's figure is the number of epochs that it took, in
whole trials, until a trial that ran to its end was as good as the best of `--whole` trials that
nobody pruned: the median over the seeds, and how many times fewer that is than with no pruner. A
search that did not get there in three times those epochs counts as them; how many did not stands
behind. Nothing is trained.
"""

from __future__ import annotations

import math
import statistics
import warnings
from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
import optuna
import typer

from orchestrator.proposing.pruner import make_pruner
from orchestrator.proposing.sampler import make_sampler
from orchestrator.settings.schema import Choices, PrunerSettings, Range, SamplerSettings
from orchestrator.settings.space import distribution

SEARCH: dict[str, Any] = {
    "rate": Range(low=1e-5, high=1e-1, log=True),
    "width": Range(low=8, high=64),
    "loss": Choices(choices=["a", "b", "c"]),
}
DISTRIBUTIONS = {key: distribution(entry) for key, entry in SEARCH.items()}


def pruners(epochs: int) -> dict[str, dict[str, Any]]:
    """The pruners, by what they are called; the presets' warm-up is a sixth of the epochs."""
    warm = max(1, epochs // 6)
    return {
        "none": {"kind": "none"},
        "median, presets": {"kind": "median", "n_startup_trials": 5, "n_warmup_steps": warm},
        "median": {"kind": "median"},
        "asha": {"kind": "asha"},
        "asha, from a sixth": {"kind": "asha", "min_resource": warm},
        "asha, from a sixth, 2": {"kind": "asha", "min_resource": warm, "reduction_factor": 2},
        "asha, from a sixth, 3": {"kind": "asha", "min_resource": warm, "reduction_factor": 3},
        "hyperband": {"kind": "hyperband"},
        "hyperband, from a sixth": {"kind": "hyperband", "min_resource": warm},
    }


class Configuration:
    """What the numbers of a point do: how good it becomes, and how soon."""

    def __init__(self, point: dict[str, Any]) -> None:
        rate = math.log10(point["rate"])
        self.rate = (rate + 5) / 4  # 0 … 1
        width = point["width"] / 64
        chosen = {"a": 0.0, "b": 0.04, "c": 0.1}[point["loss"]]
        best_rate = 0.55 + 0.15 * (1 - width)  # wider nets want smaller steps
        self.final = 0.1 + 0.8 * (self.rate - best_rate) ** 2 + 0.1 * (1 - width) + chosen
        self.tau = 0.12 - 0.06 * self.rate + 0.03 * width  # of the whole training


Curve = Callable[[Configuration, np.ndarray, np.random.Generator], np.ndarray]


def settling(c: Configuration, t: np.ndarray, _: np.random.Generator) -> np.ndarray:
    return c.final + (1 - c.final) * np.exp(-t / c.tau)


def noisy(c: Configuration, t: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    return settling(c, t, draw) * np.exp(0.08 * draw.normal(size=t.shape))


def crossing(c: Configuration, t: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """What is slow becomes better in the end, by an amount that the first half does not show."""
    slow = np.exp(-t / (0.1 + 0.5 * (1 - c.rate)))
    return 0.1 + 0.9 * slow + (c.final - 0.1) * t + 0.02 * draw.normal(size=t.shape)


def dropping(c: Configuration, t: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """The learning rate falls to a tenth at three fifths: larger ones gain more from it."""
    stays = c.final * (1.2 + 1.2 * c.rate * (t < 0.6))
    return stays + (1 - c.final) * np.exp(-t / c.tau) + 0.01 * draw.normal(size=t.shape)


def late(c: Configuration, t: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Nothing is learned for a while, for longer with small rates."""
    since = np.maximum(0, t - 0.1 - 0.2 * (1 - c.rate))
    return c.final + (1 - c.final) * np.exp(-since / c.tau) + 0.01 * draw.normal(size=t.shape)


def overfitting(c: Configuration, t: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Errors rise again, the sooner the larger the rate."""
    rises = 0.5 * np.maximum(0, t - 1 + 0.8 * c.rate) ** 2
    return settling(c, t, draw) + rises + 0.01 * draw.normal(size=t.shape)


FAMILIES: tuple[Curve, ...] = (settling, noisy, crossing, dropping, late, overfitting)


def search(
    curve: Curve, pruner: dict[str, Any], seed: int, epochs: int, budget: int, target: float
) -> tuple[int, float]:
    """Epochs until a trial that ran to its end reached the target, or the budget; its value."""
    study = optuna.create_study(pruner=make_pruner(PrunerSettings(**pruner), epochs, seed))
    t = np.arange(1, epochs + 1) / epochs
    number, spent, best = 0, 0, math.inf
    while spent < budget and best > target:
        study.sampler = make_sampler(SamplerSettings(), SEARCH, seed, number)
        trial = study.ask(DISTRIBUTIONS)
        draw = np.random.default_rng((seed, number))
        values = np.minimum.accumulate(curve(Configuration(trial.params), t, draw))
        number += 1
        for epoch, value in enumerate(values, start=1):
            trial.report(float(value), epoch)
            spent += 1
            if epoch < epochs and trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, float(values[-1]))
            best = min(best, float(values[-1]))
    return min(spent, budget), best


def main(
    seeds: Annotated[int, typer.Option(min=1)] = 7,
    epochs: Annotated[int, typer.Option(min=2, help="of a whole trial")] = 30,
    whole: Annotated[int, typer.Option(min=1, help="trials without a pruner")] = 15,
) -> None:
    """Compare pruners by the epochs that they need."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    budget = 3 * whole * epochs
    typer.echo(f"{epochs} epochs, {seeds} seeds; whole trials until as good as {whole} unpruned")
    ratios: dict[str, list[float]] = {}
    for curve in FAMILIES:
        typer.echo(curve.__name__)
        unpruned = [
            search(curve, {"kind": "none"}, 1000 + seed, epochs, whole * epochs, -math.inf)
            for seed in range(seeds)
        ]
        target = statistics.median(best for _, best in unpruned)
        base = 0.0
        for name, pruner in pruners(epochs).items():
            runs = [search(curve, pruner, seed, epochs, budget, target) for seed in range(seeds)]
            middle = statistics.median(spent for spent, _ in runs) / epochs
            base = base or middle
            never = sum(best > target for _, best in runs)
            ratios.setdefault(name, []).append(base / middle)
            typer.echo(f"  {name:<26} {middle:6.1f}  {base / middle:5.2f}×  never {never}")
    typer.echo("all families: geometric mean, and the worst")
    for name, values in ratios.items():
        typer.echo(f"  {name:<26} {statistics.geometric_mean(values):5.2f}×  {min(values):5.2f}×")


if __name__ == "__main__":
    typer.run(main)
