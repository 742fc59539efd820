"""X2CT-GAN's layout: an HDF5 file a case.

    {id}/ct_xray_data.h5
        ct              (D, H, W), HU + 1024
        xray1, xray2    (H, W), front and lateral, 0 … 255
        spacing         mm between slices, rows and columns, if it is there
        ori_size        not read

Source: Ying et al., "X2CT-GAN: Reconstructing CT from biplanar X-rays with generative adversarial
networks", CVPR 2019, and the data set published with it. That the volume's axes lead from head to
feet, front to back, right to left is assumed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from data.physics.attenuation import check_hounsfield
from data.reading import reading
from data.scans.volume import Millimetres
from data.xray_ct.images import unit_image
from data.xray_ct.layouts.format import (
    CaseFiles,
    Extent,
    Pair,
    check_finite,
    check_shape,
    ordered,
    turned,
)
from protocol.errors import DataError

FILE = "ct_xray_data.h5"
VIEWS = ("xray1", "xray2")
OFFSET = 1024.0  # stored value of 0 HU


class X2ctGanFormat:
    """Reads and writes X2CT-GAN's layout."""

    name = "x2ct_gan"
    says_its_axes = False
    pattern = "{id}/" + FILE

    def cases(self, root: Path) -> list[CaseFiles]:
        """The folders that hold an HDF5 file."""
        return [
            CaseFiles(name=path.parent.name, ct=path, front=path, lateral=path)
            for path in sorted(root.glob(f"*/{FILE}"))
        ]

    def check(self, case: CaseFiles, axes: str | None) -> Extent:
        """Look at the data sets' shapes, and how large the voxels are if the file says so."""
        with _opened(case.ct) as file:
            sides = check_shape(case.ct, _dataset(case.ct, file, "ct").shape)
            for view in VIEWS:
                shape = _dataset(case.ct, file, view).shape
                if len(shape) not in (2, 3):
                    raise DataError(
                        f"{case.ct}: {view} has the shape {shape}, expected an image (H, W)"
                    )
            spacing = _spacing(file)
        return Extent(
            shape=ordered(sides, axes),
            voxel_size=None if spacing is None else ordered(spacing, axes),
        )

    def volume(self, case: CaseFiles, axes: str | None) -> NDArray[np.float32]:
        """Read the volume."""
        with _opened(case.ct) as file:
            stored = np.asarray(_dataset(case.ct, file, "ct")[()], dtype=np.float32)
        sides = check_shape(case.ct, stored.shape)
        check_finite(case.ct, stored)
        check_hounsfield(
            f"{case.ct}: ct, less {OFFSET:g},",
            stored - np.float32(OFFSET),
            "expected HU + 1024, which is about 0 in air and 1024 in water; write it so",
        )
        return np.asarray(turned(stored.reshape(sides), axes) - np.float32(OFFSET))

    def xrays(self, case: CaseFiles) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Read both views."""
        with _opened(case.ct) as file:
            front, lateral = (_image(case.ct, file, view) for view in VIEWS)
        return front, lateral

    def write(self, root: Path, name: str, pair: Pair) -> None:
        """Write volume, views and spacing; the volume as whole numbers from 0."""
        folder = root / name
        folder.mkdir(parents=True)
        stored = np.clip(np.rint(pair.hu + OFFSET), 0, np.iinfo(np.int16).max)
        with h5py.File(folder / FILE, "w") as file:
            file.create_dataset("ct", data=stored.astype(np.int16), compression="gzip")
            for view, image in zip(VIEWS, pair.xrays, strict=True):
                file[view] = np.rint(image * 255).astype(np.uint8)
            file["spacing"] = np.array(pair.voxel_size)
            file["ori_size"] = np.int64(max(pair.hu.shape))


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    with reading(path, "an HDF5 file"), h5py.File(path, "r", locking=False) as file:
        yield file


def _dataset(path: Path, file: h5py.File, key: str) -> h5py.Dataset:
    found = file.get(key)
    if not isinstance(found, h5py.Dataset) or found.dtype.kind not in "uif":
        has = ", ".join(sorted(file)) or "nothing"
        raise DataError(
            f"{path} has no array of numbers {key!r} (it has {has}); expected ct, xray1 and xray2"
        )
    return found


def _image(path: Path, file: h5py.File, view: str) -> NDArray[np.float32]:
    values = np.asarray(_dataset(path, file, view)[()])
    check_finite(path, values.astype(np.float32))
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 255 or (low < high <= 1):
        raise DataError(
            f"{path}: {view} has values from {low:g} to {high:g}, expected 0 to 255; write it so"
        )
    return unit_image(f"{path}: {view}", (values / 255).astype(np.float32))


def _spacing(file: h5py.File) -> Millimetres | None:
    """The file's voxel size along its own axes; None if it has no usable one."""
    found = file.get("spacing")
    if not isinstance(found, h5py.Dataset) or found.shape != (3,) or found.dtype.kind not in "uif":
        return None
    first, second, third = (float(side) for side in found[()])
    usable = all(np.isfinite(side) and side > 0 for side in (first, second, third))
    return (first, second, third) if usable else None
