"""The gradient norm's threshold: fixed, or following the norms that training has seen.

With g_t the norm of step t's whole gradient before clipping, k = `clip_dynamic` and
C = `clip_norm`:

    c_t = C                                    for t ≤ 20
    c_t = min(C, k · m_(t−1) / (1 − β^(t−1)))    from then on
    m_t = β m_(t−1) + (1 − β) min(g_t, c_t),     m_0 = 0, β = 0.99

so m is an exponential moving average, corrected for its beginning, of the norms as they were
applied: a single outlier of whatever size raises the threshold by a factor of 1 + w (k − 1) at
most, with w = (1 − β) / (1 − β^t), which is 0.05 at first and 0.01 in the long run, while norms
that stay larger raise it step by step, up to C. The idea of a threshold from past norms is that of
AutoClip (Seetharaman et al., 2020), which takes a percentile of them.
Norms that are not finite never reach the average: steps without a finite gradient are the guard's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from protocol.recipe import TrainingRecipe

DECAY = 0.99  # β: the average looks back about a hundred steps
FIRST_STEPS = 20


@dataclass
class Clipping:
    """The threshold of a trial's gradient norm; the same on all ranks, who see the same norms."""

    largest: float | None  # C; None: nothing is clipped
    factor: float | None  # k; None: C holds throughout
    average: float = 0.0  # m, not yet corrected
    steps: int = 0  # whose norm is in it

    @classmethod
    def of(cls, recipe: TrainingRecipe) -> Clipping:
        return cls(largest=recipe.clip_norm, factor=recipe.clip_dynamic)

    @property
    def threshold(self) -> float | None:
        """The next step's largest gradient norm."""
        if self.largest is None or self.factor is None or self.steps < FIRST_STEPS:
            return self.largest
        return min(self.largest, self.factor * self.average / (1.0 - DECAY**self.steps))

    def saw(self, norm: float) -> None:
        """Take in the norm of a step that was taken, before clipping; a non-finite one is not."""
        if self.factor is None or not math.isfinite(norm):
            return
        threshold = self.threshold
        applied = norm if threshold is None else min(norm, threshold)
        self.average = DECAY * self.average + (1.0 - DECAY) * applied
        self.steps += 1

    def state(self) -> dict[str, float | int]:
        """What a resumed trial needs to clip as if it had never stopped."""
        return {"average": self.average, "steps": self.steps}

    def restore(self, state: dict[str, float | int]) -> None:
        self.average = float(state["average"])
        self.steps = int(state["steps"])
