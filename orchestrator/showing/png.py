"""Kept panels as 8-bit PNG files: grey in a window, or differences in colours about zero."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from protocol.panels import HIGHEST, NAN, KeptPanel

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _PALETTE = 0, 3  # the format's colour types
# Blue over white to red, equally dark at equal distances from zero: Brewer's RdBu, reversed.
_STOPS = ("#053061", "#2166ac", "#4393c3", "#92c5de", "#f7f7f7", "#f4a582", "#d6604d", "#b2182b",
          "#67001f")  # fmt: skip

Values = NDArray[np.float64]


def values_of(panel: KeptPanel, levels: bytes) -> Values:
    """A panel's intensities, (rows, columns); NaN where there is none."""
    stored = np.frombuffer(levels, "<u2").reshape(panel.rows, panel.columns)
    values: Values = panel.low + stored * ((panel.high - panel.low) / HIGHEST)
    return np.where(stored == NAN, np.nan, values)


def grey_png(values: Values, window: tuple[float, float]) -> bytes:
    """From black at the window's bottom to white at its top; what is no number is white."""
    low, high = window
    shares = np.clip((values - low) / ((high - low) or 1.0), 0.0, 1.0)
    return _png(_bytes(np.nan_to_num(shares, nan=1.0)), _GREY)


def difference_png(values: Values, limit: float) -> bytes:
    """From blue at -limit over white to red at limit; what is no number is white."""
    shares = np.clip(values / (2 * limit) + 0.5, 0.0, 1.0)
    return _png(_bytes(np.nan_to_num(shares, nan=0.5)), _PALETTE)


def colours() -> str:
    """The difference's colours as CSS has a gradient, from the lowest to the highest."""
    return f"linear-gradient(to right, {', '.join(_STOPS)})"


def _bytes(shares: Values) -> NDArray[np.uint8]:
    found: NDArray[np.uint8] = (255 * shares + 0.5).astype(np.uint8)
    return found


def _png(levels: NDArray[np.uint8], kind: int) -> bytes:
    height, width = levels.shape
    lines = np.zeros((height, 1 + width), np.uint8)  # each begins with its filter, none
    lines[:, 1:] = levels
    header = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    palette = _chunk(b"PLTE", _palette()) if kind == _PALETTE else b""
    body = _chunk(b"IDAT", zlib.compress(lines.tobytes(), 6))
    return _SIGNATURE + _chunk(b"IHDR", header) + palette + body + _chunk(b"IEND", b"")


def _palette() -> bytes:
    stops = np.array([[int(stop[at : at + 2], 16) for at in (1, 3, 5)] for stop in _STOPS])
    places = np.linspace(0, len(_STOPS) - 1, 256)
    channels = [np.interp(places, range(len(_STOPS)), stops[:, channel]) for channel in range(3)]
    return bytes(np.rint(np.stack(channels, axis=1)).astype(np.uint8))


def _chunk(kind: bytes, data: bytes) -> bytes:
    checked = kind + data
    return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))
