"""The model cut for several devices, folded so that both halves of a level share one.

Going down, features travel with the embedding of the time step and the tokens of the X-rays.
Going up, features travel alone: the rest lies where the way down left it. For four levels on
three devices this is the published split: encoder, time step, first convolution, level 0 and the
output on the first; levels 1 and 2 on the second; level 3 and the middle on the third.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from models.blocks.xray_diffusion.network.levels import DownLevel, UpLevel
from models.blocks.xray_diffusion.network.model import XrayDiffusion
from models.pipelined import Carry, Kept, Segment
from protocol.errors import SettingsError


def cut(model: XrayDiffusion, stages: int) -> list[Segment]:
    """2·`stages` segments, whose chain is the model.

    Raises:
        SettingsError: the model has fewer levels than that.
    """
    count = len(model.down)
    if not 1 <= stages <= count:
        raise SettingsError(
            f"found {stages}, expected 1 to {count}, the levels of the model; "
            "take fewer devices for a trial, or raise recipe.levels",
            key="parallel.stages",
        )
    bounds = [round(stage * count / stages) for stage in range(stages + 1)]
    shares = [range(first, end) for first, end in pairwise(bounds)]
    down = [_DownSegment(model, share) for share in shares]
    return [*down, *(_UpSegment(model, share) for share in reversed(shares))]


class _DownSegment(Segment):
    """Some levels of the way down, with what comes before the first and after the last."""

    def __init__(self, model: XrayDiffusion, numbers: Sequence[int]) -> None:
        super().__init__()
        self._numbers = list(numbers)
        self.levels = nn.ModuleList(model.down[number] for number in numbers)
        first, last = numbers[0] == 0, numbers[-1] == len(model.down) - 1
        self.encoder = model.encoder if first else None
        self.entry = model.entry if first else None
        self.middle = model.middle if last else None

    def forward(self, carry: Carry, kept: Kept) -> Carry:
        """From the model's inputs or (features, embedding, tokens) to the latter or (features,)."""
        hidden, embedding, tokens = self._entered(carry)
        for number, level in zip(self._numbers, self.levels, strict=True):
            skip, hidden = level(hidden, embedding, tokens)
            kept.put(f"skip{number}", skip)
        kept.put("embedding", embedding)
        if _attends(self.levels):
            kept.put("tokens", tokens)
        if self.middle is None:
            return hidden, embedding, tokens
        return (self.middle(hidden, embedding, tokens),)

    def _entered(self, carry: Carry) -> tuple[Tensor, Tensor, Tensor]:
        if self.entry is None or self.encoder is None:
            hidden, embedding, tokens = carry
            return hidden, embedding, tokens
        noisy, timesteps, xrays, corner, extent = carry
        tokens = self.encoder(xrays)
        hidden, embedding = self.entry(noisy, timesteps, corner, extent)
        return hidden, embedding, tokens


class _UpSegment(Segment):
    """The same levels of the way up, from the last to the first, and what comes after that."""

    def __init__(self, model: XrayDiffusion, numbers: Sequence[int]) -> None:
        super().__init__()
        self._numbers = list(reversed(numbers))
        self.levels = nn.ModuleList(model.up[number] for number in self._numbers)
        self.exit = model.exit if numbers[0] == 0 else None

    def forward(self, carry: Carry, kept: Kept) -> Carry:
        """From (features,) to (features,), or to (ε̂,) at the end."""
        (hidden,) = carry
        embedding = kept.take("embedding")
        tokens = kept.take("tokens") if _attends(self.levels) else None
        for number, level in zip(self._numbers, self.levels, strict=True):
            hidden = level(hidden, kept.take(f"skip{number}"), embedding, tokens)
        return (hidden if self.exit is None else self.exit(hidden),)


def _attends(levels: nn.ModuleList) -> bool:
    """Whether any of the levels looks at the X-rays; both ways of a level do, or neither."""
    return any(isinstance(level, DownLevel | UpLevel) and level.attends for level in levels)
