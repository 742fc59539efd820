"""LoDoPaB-CT's published layout on disk: what its files are called, and whether they are sound.

    {observation,ground_truth}_{train,validation,test}_{000, 001, …}.hdf5    dataset `data`
    patient_ids_rand_{train,validation,test}.csv                             one line an image

Data sets made here also say in `made_from.json` what they were made from.

Source: Leuschner et al., "LoDoPaB-CT, a benchmark dataset for low-dose computed tomography
reconstruction", Sci. Data 8 (2021), doi 10.1038/s41597-021-00893-z.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import h5py
import numpy as np

from data.reading import reading
from data.splits import SPLITS, Split
from protocol.errors import DataError

FileKind = Literal["observation", "ground_truth"]

IMAGES_PER_FILE = 128
DATASET = "data"
PROVENANCE = "made_from.json"

_WAY = "copy or download it again (a failed download may hold a web page)"

Shape = tuple[int, ...]


def file_name(kind: FileKind, split: Split, number: int) -> str:
    """The published name of a split's file, such as `observation_train_000.hdf5`."""
    return f"{kind}_{split}_{number:03d}.hdf5"


def patients_name(split: Split) -> str:
    """The published name of the file that names the patient of each image of a split."""
    return f"patient_ids_rand_{split}.csv"


def is_upright(root: Path) -> bool:
    """Whether the images below `root` are stored as they are looked at.

    Those that were made here are, and their folder has a record. Published ones are transposed.
    """
    return (root / PROVENANCE).is_file()


@dataclass(frozen=True, kw_only=True)
class SplitFiles:
    """A split's files, whose headers have been checked.

    `observations[k]` and `images[k]` hold the images 128·k onwards.
    """

    observations: tuple[Path, ...]
    images: tuple[Path, ...]
    count: int  # of images in all files
    sinogram_shape: tuple[int, int]  # (angles, detectors)
    image_shape: tuple[int, int]  # (rows, columns), equal


def check_split(root: Path, split: Split) -> SplitFiles:
    """Find a split's files below `root` and check the header of every one of them.

    Raises:
        DataError: a file is missing, truncated, foreign or of another shape than its peers.
    """
    if not root.is_dir():
        raise DataError(
            f"there is no folder {root}; unpack LoDoPaB-CT there, or make a data set "
            f"with `./run_study.sh prepare lodopab --source SCAN --out {root}`",
            key="data.root",
        )
    observations = _numbered_files(root, "observation", split)
    images = _numbered_files(root, "ground_truth", split)
    _check_partners(root, split, len(observations), len(images))
    sinogram_shapes = _check_shapes(observations)
    image_shapes = _check_shapes(images)
    for observation, image, sinogram_shape, image_shape in zip(
        observations, images, sinogram_shapes, image_shapes, strict=True
    ):
        if sinogram_shape[0] != image_shape[0]:
            raise DataError(
                f"{observation} holds {sinogram_shape[0]} sinograms but {image.name} "
                f"{image_shape[0]} images; the two must match one to one: replace the wrong one"
            )
    rows, columns = image_shapes[0][1:]
    if rows != columns:
        raise DataError(f"{images[0]} holds images of {rows}×{columns}, expected square ones")
    return SplitFiles(
        observations=observations,
        images=images,
        count=sum(shape[0] for shape in image_shapes),
        sinogram_shape=(sinogram_shapes[0][1], sinogram_shapes[0][2]),
        image_shape=(rows, columns),
    )


def check_alike(root: Path, split: Split, files: SplitFiles) -> None:
    """Refuse a split whose scans are others than those of the splits beside it.

    Only the first file of each is looked at; those of one split agree.

    Raises:
        DataError: the shapes differ.
    """
    for other in SPLITS:
        shapes: dict[FileKind, Shape] = {
            "observation": files.sinogram_shape,
            "ground_truth": files.image_shape,
        }
        for kind, shape in shapes.items():
            path = root / file_name(kind, other, 0)
            if other == split or not path.is_file():
                continue
            found = _header(path)[1:]
            if found != shape:
                raise DataError(
                    f"{path} holds arrays of {_times(found)}, but those of {split} are "
                    f"{_times(shape)}; a model is trained for one scan: make the splits alike"
                )


def observations_of(root: Path, split: Split) -> tuple[Path, ...]:
    """A split's files of sinograms, with or without images beside them; none where there are none.

    Raises:
        DataError: one is missing among the others.
    """
    numbers = _numbers(root, "observation", split)
    return _numbered_files(root, "observation", split) if numbers else ()


def _numbers(root: Path, kind: FileKind, split: Split) -> list[int]:
    pattern = re.compile(rf"{kind}_{split}_(\d{{3,}})\.hdf5")
    return sorted(int(m[1]) for p in root.iterdir() if (m := pattern.fullmatch(p.name)))


def _numbered_files(root: Path, kind: FileKind, split: Split) -> tuple[Path, ...]:
    numbers = _numbers(root, kind, split)
    if not numbers:
        raise DataError(
            f"{root} has no {file_name(kind, split, 0)}, so no {split} images in LoDoPaB-CT's "
            f"layout; {_what_is_there(root)}"
        )
    missing = sorted(set(range(numbers[-1] + 1)) - set(numbers))
    if missing:
        raise DataError(
            f"{root / file_name(kind, split, missing[0])} is missing, though "
            f"{file_name(kind, split, numbers[-1])} is there; copy or download it again"
        )
    return tuple(root / file_name(kind, split, number) for number in numbers)


def _what_is_there(root: Path) -> str:
    names = sorted(path.name for path in root.iterdir())
    if any(name.endswith(".zip") for name in names):
        return "it holds zip files: unpack them in place"
    if not names:
        return "the folder is empty"
    more = ", …" if len(names) > 3 else ""
    return f"it holds {', '.join(names[:3])}{more}: name the folder that holds the .hdf5 files"


def _check_partners(root: Path, split: Split, observations: int, images: int) -> None:
    if observations != images:
        fewer: FileKind = "observation" if observations < images else "ground_truth"
        missing = root / file_name(fewer, split, min(observations, images))
        raise DataError(
            f"{missing} is missing: there are {observations} observation and {images} ground_truth "
            f"files for {split}, which must match one to one; copy or download it again"
        )


def _check_shapes(files: Sequence[Path]) -> list[Shape]:
    shapes = [_header(path) for path in files]
    for path, shape in zip(files, shapes, strict=True):
        if shape[1:] != shapes[0][1:]:
            raise DataError(
                f"{path} holds images of {_times(shape[1:])}, but {files[0].name} of "
                f"{_times(shapes[0][1:])}; all files of a split must agree: replace the wrong one"
            )
        if path is files[-1]:
            expected, right = f"1 to {IMAGES_PER_FILE}", 1 <= shape[0] <= IMAGES_PER_FILE
        else:
            expected, right = f"{IMAGES_PER_FILE}", shape[0] == IMAGES_PER_FILE
        if not right:
            raise DataError(
                f"{path} holds {shape[0]} images, expected {expected}: every file but a split's "
                "last has 128; copy or download it again"
            )
    return shapes


def _times(shape: Iterable[int]) -> str:
    return "×".join(map(str, shape))


def _header(path: Path) -> Shape:
    """The shape of a file's `data`, once it is known to be a whole file of float32 images."""
    with reading(path, "an HDF5 file", way=_WAY), h5py.File(path, "r", locking=False) as file:
        found = file.get(DATASET)
        if not isinstance(found, h5py.Dataset):
            raise DataError(
                f"{path} has no dataset named {DATASET!r} (it holds "
                f"{', '.join(map(repr, file)) or 'nothing'}), so it is not LoDoPaB-CT's; "
                "point data.root at a folder in LoDoPaB-CT's layout"
            )
        shape, dtype = tuple(int(n) for n in found.shape), np.dtype(found.dtype)
    if len(shape) != 3 or min(shape[1:]) < 1:
        raise DataError(
            f"{path}: {DATASET!r} has the shape {_times(shape)}, expected "
            "images×rows×columns; point data.root at a folder in LoDoPaB-CT's layout"
        )
    if dtype.kind != "f" or dtype.itemsize != 4:
        raise DataError(f"{path}: {DATASET!r} is {dtype}, expected float32; convert it")
    return shape
