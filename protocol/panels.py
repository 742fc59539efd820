"""What a picture shows, kept as numbers: the gallery lays trials side by side in one window.

A file is a line of JSON, and behind it the zlib-compressed levels of all panels, row by row: 16
bits each, little-endian, evenly from a panel's lowest value (0) to its highest (65534); 65535 is
NaN.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from protocol.errors import DataError
from protocol.files import partial
from protocol.messages import Message

HIGHEST, NAN = 65534, 65535
_SPEED = 1  # of zlib: the noise of images hardly shrinks, and a trial waits for it

_MEND = "delete it, and `gallery` makes it again of the trial's checkpoint"

Role = Literal["target", "baseline", "result", ""]


class KeptPanel(Message):
    """One image of a picture."""

    title: str
    role: Role = ""
    view: str = ""
    rows: int
    columns: int
    low: float  # the value of level 0
    high: float  # that of level 65534
    window: tuple[float, float]  # lowest and highest intensity shown


class KeptPicture(Message):
    """A case as one checkpoint shows it."""

    case: str  # the picture's file stem, such as validation_0003
    title: str
    epoch: int  # of the checkpoint
    panels: list[KeptPanel]


@dataclass(frozen=True)
class Panels:
    """A kept picture with its levels, each panel's as bytes."""

    picture: KeptPicture
    levels: Sequence[bytes]


def save_panels(path: Path, panels: Panels) -> None:
    """Write a picture's panels, whole or not at all, unless the power fails.

    They are not synced, for which a trial would wait: they can be made again of its checkpoint.
    """
    half = partial(path)
    head = panels.picture.model_dump_json().encode() + b"\n"
    half.write_bytes(head + zlib.compress(b"".join(panels.levels), _SPEED))
    half.replace(path)


def load_panels(path: Path) -> Panels:
    """A picture's panels.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: it is damaged.
    """
    try:
        head, _, packed = path.read_bytes().partition(b"\n")
        picture = KeptPicture.model_validate_json(head)
        content = zlib.decompress(packed)
    except (ValueError, zlib.error) as error:
        raise DataError(f"{path} is damaged: {error}; {_MEND}") from None
    sizes = [2 * panel.rows * panel.columns for panel in picture.panels]
    if sum(sizes) != len(content):
        found = f"it holds {len(content)} bytes, expected {sum(sizes)}"
        raise DataError(f"{path} is damaged: {found}; {_MEND}")
    ends = [sum(sizes[: count + 1]) for count in range(len(sizes))]
    return Panels(
        picture, [content[end - size : end] for end, size in zip(ends, sizes, strict=True)]
    )
