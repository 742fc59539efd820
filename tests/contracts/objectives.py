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
    # 32.4 dB, untrained 28.5
    "fbp_window": Goal(
        reaches=31.5,
        gain=2.0,
        recipe={
            "epochs": 2,
            "learning_rate": 0.02,
            "window": "fourier",
            "initial_window": "ones",
            "frequency_scaling": 1.0,
        },
    ),
    # 33.8 dB, untrained 32.3: that of the FBP which it starts from
    "fbp_unet": Goal(reaches=33.0, gain=0.6, recipe={"epochs": 2}),
    # 0.136, untrained 0.316
    "ddpm2d": Goal(reaches=0.16, gain=0.14, recipe={"epochs": 4}),
    # 0.126, untrained 0.316
    "ddpm2d_patched": Goal(reaches=0.15, gain=0.14, recipe={"epochs": 5}),
    # 23.2 dB, untrained 13.4
    "direct64": Goal(reaches=22.0, gain=6.0, recipe={"epochs": 5}),
    # 19.9 dB, untrained 19.7: that of the trilinear volume which it starts from
    "refine256": Goal(reaches=19.0, gain=0.1, recipe={"epochs": 2}),
    # 0.200, untrained 0.800
    "diffx2ct": Goal(reaches=0.24, gain=0.5),
    # 0.023, untrained 0.157
    "own_file": Goal(reaches=0.035, gain=0.1, recipe={"learning_rate": 0.01}),
    "own_package": Goal(reaches=0.035, gain=0.1, recipe={"learning_rate": 0.01}),
}
