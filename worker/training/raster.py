"""Drawing by Pillow, with matplotlib's font: figures of that take up to ten times as long."""

from __future__ import annotations

import struct
import zlib
from functools import cache
from pathlib import Path

import matplotlib as mpl
import numpy as np
from PIL import Image, ImageFont

from protocol.files import replacing

FONT = Path(mpl.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
COMPRESSION = 1  # of what is seen through noise, 3 takes twice as long for a twentieth fewer bytes
SIGNATURE = b"\x89PNG\r\n\x1a\n"
EIGHT_BITS_RGB = (8, 2, 0, 0, 0)


@cache
def lettering(size: int) -> ImageFont.FreeTypeFont:
    """The one font, `size` pixels high; Pillow's own lacks the minus sign, Greek and umlauts."""
    return ImageFont.truetype(FONT, size)


def write_png(image: Image.Image, path: Path) -> None:
    """Write an image in RGB, whole or not at all.

    Lines are compressed as they are: choosing a filter for each, as Pillow does, takes three times
    as long, and comes to more bytes of what is drawn here.
    """
    pixels = np.asarray(image)
    height, width, _ = pixels.shape
    lines = np.zeros((height, 1 + 3 * width), np.uint8)  # each begins with its filter, none
    lines[:, 1:] = pixels.reshape(height, -1)
    with replacing(path) as stream:
        stream.write(SIGNATURE)
        stream.write(_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, *EIGHT_BITS_RGB)))
        stream.write(_chunk(b"IDAT", zlib.compress(lines.data, COMPRESSION)))
        stream.write(_chunk(b"IEND", b""))


def _chunk(kind: bytes, data: bytes) -> bytes:
    checked = kind + data
    return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))
