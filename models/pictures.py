"""What a family shows: pictures of panels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Role = Literal["target", "baseline", "result", ""]


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One image of a picture."""

    title: str
    image: NDArray[np.float32]  # (H, W)
    difference: bool = False  # drawn symmetric about zero in a diverging colour map
    window: tuple[float, float] | None = None  # instead of the picture's
    outlines: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)  # (H, W) by colour
    role: Role = ""  # by which the gallery knows what to lay beside what
    view: str = ""  # of a volume, such as "axial": panels of one view show the same plane


@dataclass(frozen=True, kw_only=True)
class Picture:
    """Panels in one row or several, drawn in one intensity window but for those with their own."""

    name: str  # tells several pictures of one sample apart
    title: str
    panels: Sequence[Panel]
    window: tuple[float, float]  # lowest and highest intensity shown
    scores: Mapping[str, float] = field(default_factory=dict)  # of this result, beyond `evaluate`'s
    per_row: int | None = None  # panels of a row, which divides their number; None: all of them
