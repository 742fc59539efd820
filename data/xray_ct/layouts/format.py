"""What a layout of X-ray/CT pairs on disk can do, and the volumes that all of them share.

Volumes are (D, H, W) in Hounsfield units with axes from head to feet, from front to back, and
from the patient's right to the left: in nibabel's letters IPL.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import nibabel
import numpy as np
from numpy.typing import NDArray

from data.scans.volume import Millimetres
from protocol.errors import DataError

CANONICAL = "IPL"
SMALLEST = 4  # voxels of a side

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class CaseFiles:
    """One pair: a name, and where its volume and its two X-rays are."""

    name: str
    ct: Path
    front: Path  # the same file as `ct` where that holds everything
    lateral: Path

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file of the case, once."""
        return tuple(dict.fromkeys((self.ct, self.front, self.lateral)))


@dataclass(frozen=True, kw_only=True)
class Extent:
    """How large a volume is, along the canonical axes."""

    shape: tuple[int, int, int]
    voxel_size: Millimetres | None  # between slices, rows and columns; None: the file is silent
    remarks: tuple[str, ...] = ()  # what a user should know of its header


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A case to be written."""

    hu: NDArray[np.float32]  # (D, H, W)
    voxel_size: Millimetres
    xrays: NDArray[np.float32]  # (2, S, S) in [0, 1], the front view first


class Format(Protocol):
    """Reads and writes one layout."""

    name: str
    says_its_axes: bool  # whether files tell where volumes' axes lead to
    pattern: str  # of a case's volume below the root, for people

    def cases(self, root: Path) -> list[CaseFiles]:
        """What lies in `root`, sorted by name; nothing is opened."""
        ...

    def check(self, case: CaseFiles, axes: str | None) -> Extent:
        """Look at the headers of a case's files.

        Args:
            axes: where the axes of stored volumes lead to, such as SPL; None for IPL. It does not
                matter where the file says it itself.

        Raises:
            DataError: a file is missing, damaged or of another kind or shape.
        """
        ...

    def volume(self, case: CaseFiles, axes: str | None) -> NDArray[np.float32]:
        """Read a case's volume: (D, H, W) in HU.

        Raises:
            DataError: it is damaged, or has values that no CT has.
        """
        ...

    def xrays(self, case: CaseFiles) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The front and the lateral view, each (H, W) in [0, 1].

        Raises:
            DataError: one is damaged or has values out of range.
        """
        ...

    def write(self, root: Path, name: str, pair: Pair) -> None:
        """Add a case to the layout in `root`."""
        ...


def turned(values: NDArray[Any], axes: str | None) -> NDArray[Any]:
    """A volume whose axes lead to `axes`, such as SPL, with the canonical ones instead."""
    if axes in (None, CANONICAL):
        return values
    transform = nibabel.orientations.ornt_transform(
        nibabel.orientations.axcodes2ornt(axes), nibabel.orientations.axcodes2ornt(CANONICAL)
    )
    return np.asarray(nibabel.orientations.apply_orientation(values, transform))


def ordered(sides: Sequence[T], axes: str | None) -> tuple[T, T, T]:
    """What belongs to axes that lead to `axes`, in the order of the canonical ones."""
    letters = axes or CANONICAL
    first, second, third = (
        sides[next(place for place, letter in enumerate(letters) if letter in pair)]
        for pair in ("IS", "PA", "LR")
    )
    return first, second, third


def check_shape(path: Path, shape: Sequence[int]) -> tuple[int, int, int]:
    """The three sides of a volume, its leading axis of one channel aside.

    Raises:
        DataError: it has other axes than three, or hardly any voxels.
    """
    sides = tuple(shape[1:]) if len(shape) == 4 and shape[0] == 1 else tuple(shape)
    if len(sides) != 3 or min(sides) < SMALLEST:
        raise DataError(
            f"{path} has the shape {tuple(shape)}, expected a volume (D, H, W) of at least "
            f"{SMALLEST} voxels a side; export it again, or leave the case out"
        )
    return sides[0], sides[1], sides[2]


def check_finite(path: Path, values: NDArray[np.float32]) -> None:
    """Refuse a volume with voxels that are no numbers.

    Raises:
        DataError: there are some.
    """
    if not np.isfinite(values.sum(dtype=np.float64)):
        bad = int(values.size - np.isfinite(values).sum())
        raise DataError(
            f"{path} has {bad} NaN or infinite voxels; replace them by the value of air, or leave "
            "the case out"
        )


def there(path: Path, case: str) -> None:
    """Refuse a case that lacks a file.

    Raises:
        DataError: it is not there.
    """
    if not path.is_file():
        raise DataError(
            f"there is no file {path}, which the case {case} needs; restore it, or remove the "
            "rest of the case"
        )
