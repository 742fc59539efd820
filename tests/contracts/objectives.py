"""What the tiny preset of every family reaches in one training, found by running it.

A family without a line here fails its contract: state what it must reach.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Goal:
    """The objective after training with the preset's recipe and `recipe` on top."""

    reaches: float  # with a margin for another machine's arithmetic
    gain: float  # over the untrained model at least, in the objective's unit
    recipe: dict[str, Any] = field(default_factory=dict)  # a point of the preset's search


GOALS = {
    "fbp_window": Goal(
        reaches=31.0,
        gain=1.0,
        recipe={
            "epochs": 3,
            "learning_rate": 0.02,
            "window": "fourier",
            "initial_window": "ones",
            "frequency_scaling": 1.0,
        },
    ),
    "fbp_unet": Goal(
        reaches=31.0,
        gain=1.0,
        recipe={
            "learning_rate": 0.003,
            "base_width": 8,
            "depth": 2,
            "skip": "full",
            "norm": "batch",
            "head": "residual",
        },
    ),
    "readme_file": Goal(reaches=0.035, gain=0.1, recipe={"learning_rate": 0.01}),
    "readme_package": Goal(reaches=0.035, gain=0.1, recipe={"learning_rate": 0.01}),
}
