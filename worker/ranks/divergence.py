"""The end of a trial whose numbers are no longer finite."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from torch import nn

NAMED_TENSORS = 5  # parameters that a divergence names


class Divergence(Exception):
    """A loss, gradient or objective was NaN or infinite; raised on all ranks alike."""

    def __init__(
        self,
        where: Literal["loss", "gradient", "validation"],
        *,
        step: int,
        ranks: list[int],
        losses: dict[str, float],
        tensors: list[str],
    ) -> None:
        super().__init__(f"non-finite {where} at step {step} on ranks {ranks}: {losses}")
        self.where = where
        self.step = step  # the one that was not taken
        self.ranks = ranks
        self.losses = losses  # the terms on the first of these ranks
        self.tensors = tensors  # a few parameters with non-finite gradients


def nonfinite_gradients(parameters: Iterable[tuple[str, nn.Parameter]]) -> list[str]:
    """The names of the first parameters whose gradient is not finite."""
    bad = [
        name
        for name, parameter in parameters
        if parameter.grad is not None and not parameter.grad.isfinite().all()
    ]
    return bad[:NAMED_TENSORS]
