"""Sinograms that come without images, to be reconstructed: from NumPy and HDF5 files and splits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from data.geometry import ParallelGeometry
from data.lodopab.layout import DATASET, observations_of
from data.lodopab.plausible import foreign
from data.reading import reading
from data.scans.walk import files_below
from data.splits import SPLITS, Split
from protocol.errors import DataError, SettingsError

NUMPY = (".npy",)
HDF5 = (".hdf5", ".h5")
SUFFIXES = NUMPY + HDF5
_TRUTH = re.compile(r"ground_truth_.*\.hdf5")
_MOST_NAMED = 5  # data sets of a file in a message

Array = NDArray[np.float32]


def sinogram_files(source: Path, split: Split | None = None) -> list[Path]:
    """The files of sinograms that a path names: itself, a LoDoPaB-CT split's, or those below it.

    Args:
        source: a file; a folder in LoDoPaB-CT's layout; or a folder with files of sinograms.
        split: of the layout; `test`, or the only one there, if not given.

    Raises:
        DataError: there are none, or it is a file of another kind.
        SettingsError: a split is asked for where there are none.
    """
    if not source.is_dir():
        return [_named(source)]
    there = [each for each in SPLITS if observations_of(source, each)]
    if there:
        chosen = split or ("test" if "test" in there else there[-1])
        if chosen not in there:
            raise SettingsError(
                f"{source} has no {chosen} split, expected {' or '.join(there)}", key="--split"
            )
        return list(observations_of(source, chosen))
    if split is not None:
        raise SettingsError(
            f"{source} is not in LoDoPaB-CT's layout, and has no splits; leave the option out",
            key="--split",
        )
    found = [
        path
        for path in files_below(source)
        if path.suffix.lower() in SUFFIXES and path.is_file() and not _TRUTH.fullmatch(path.name)
    ]
    if not found:
        raise DataError(
            f"{source} holds no file of sinograms ({', '.join(SUFFIXES)}); name another folder",
            key="--input",
        )
    return found


def _named(path: Path) -> Path:
    if not path.exists():
        raise DataError(f"there is no file or folder {path}; check the path", key="--input")
    if path.suffix.lower() not in SUFFIXES:
        kind = "DICOM holds images and no sinograms; " if path.suffix.lower() == ".dcm" else ""
        raise DataError(
            f"{path} is no file of sinograms by its name; {kind}expected "
            f"{', '.join(SUFFIXES)}, or a folder of such",
            key="--input",
        )
    return path


@dataclass(frozen=True)
class Sinograms:
    """A file's sinograms, read a few at a time."""

    path: Path
    shape: tuple[int, ...]  # as stored: (angles, detectors), or with their number in front

    @property
    def count(self) -> int:
        return 1 if len(self.shape) == 2 else self.shape[0]

    def read(self, start: int, stop: int, geometry: ParallelGeometry) -> Array:
        """Some of them: (stop − start, 1, angles, detectors).

        Raises:
            DataError: the file is damaged, or a sinogram is not of that scan.
        """
        with _stored(self.path) as stored:
            part = stored if len(self.shape) == 2 else stored[start:stop]
            values = np.array(part, dtype=np.float32).reshape(-1, *self.shape[-2:])
        for number, sinogram in enumerate(values, start):
            name = str(self.path) if len(self.shape) == 2 else f"{self.path}: sinogram {number}"
            if problem := foreign(sinogram, geometry):
                raise DataError(f"{name} {problem}")
        return values[:, np.newaxis]


def open_sinograms(path: Path, geometry: ParallelGeometry) -> Sinograms:
    """A file's sinograms, once their number and shape are known to be right.

    Raises:
        DataError: the file is damaged, holds something else, or is of another scan.
    """
    with _stored(path) as stored:
        shape, dtype = tuple(stored.shape), np.dtype(stored.dtype)
    if dtype.kind not in "fiu":
        raise DataError(f"{path} holds {dtype} values, expected floating-point line integrals")
    if len(shape) not in (2, 3) or 0 in shape:
        raise DataError(
            f"{path} has the shape {_times(shape)}, expected one sinogram (angles, detectors), or "
            "several (number, angles, detectors)"
        )
    expected = (geometry.angles, geometry.detectors)
    if shape[-2:] == expected:
        return Sinograms(path, shape)
    if shape[-2:] == expected[::-1]:
        raise DataError(
            f"{path} holds sinograms of {_times(shape[-2:])}, which is (detectors, angles) of the "
            "model's scan; transpose them"
        )
    raise DataError(
        f"{path} holds sinograms of {shape[-2]} angles and {shape[-1]} detector cells, but the "
        f"model was trained for {expected[0]} and {expected[1]}; take a model of that scan"
    )


@contextmanager
def _stored(path: Path) -> Iterator[NDArray[np.generic] | h5py.Dataset]:
    """The file's array, unread."""
    if path.suffix.lower() in NUMPY:
        with reading(path, "a NumPy file of sinograms"):
            yield np.load(path, mmap_mode="r", allow_pickle=False)
        return
    with reading(path, "an HDF5 file"), h5py.File(path, "r", locking=False) as file:
        yield _dataset(path, file)


def _dataset(path: Path, file: h5py.File) -> h5py.Dataset:
    """LoDoPaB-CT's data set, or the file's only one."""
    found = {name: item for name, item in file.items() if isinstance(item, h5py.Dataset)}
    if DATASET in found:
        return found[DATASET]
    if len(found) == 1:
        return next(iter(found.values()))
    names = ", ".join(map(repr, list(file)[:_MOST_NAMED])) or "nothing"
    raise DataError(
        f"{path} has no dataset named {DATASET!r}, nor a single one (it holds {names}); name the "
        f"sinograms {DATASET!r}"
    )


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
