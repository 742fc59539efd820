"""Arrays in .npy files that several processes may write and read at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocol.files import replacing


def save_array(path: Path, array: NDArray[Any]) -> None:
    """Write a .npy file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as stream:
        np.save(stream, array, allow_pickle=False)


def load_array(path: Path, shape: tuple[int, ...]) -> NDArray[Any] | None:
    """A .npy file as a read-only map of it; None where there is none of this shape."""
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return array if array.shape == shape else None
