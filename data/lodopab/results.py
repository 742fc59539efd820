"""Reconstructed images as files: HDF5 and NumPy as the data set has them, NIfTI and PNG upright."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Literal

import h5py
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.geometry import ParallelGeometry
from data.lodopab.layout import DATASET
from data.scans.nifti_writer import stored_bytes
from protocol.files import replacing

ImageFormat = Literal["hdf5", "npy", "nii.gz", "nii", "png"]

Images = NDArray[np.float32]  # (n, N, N), normalised attenuation


def write_images(
    stem: Path,
    images: Images,
    kind: ImageFormat,
    geometry: ParallelGeometry,
    *,
    single: bool,
    upright: bool,
) -> list[Path]:
    """Write `stem`.`kind`, or for several images in PNG `stem`_0000.png and so on; each atomically.

    Args:
        images: (n, N, N), of which PNG shows 0 to 1 in 16 bits.
        geometry: of the scan; NIfTI tells how large its pixels are, and takes 1 mm for a slice.
        single: the input was one sinogram, not several: the result has two axes.
        upright: images are as they are looked at, else transposed.

    Raises:
        OSError: it cannot be written.
    """
    if kind == "png":
        shown = images if upright else images.transpose(0, 2, 1)
        ends = [""] if single else [f"_{number:04d}" for number in range(len(shown))]
        paths = [stem.with_name(f"{stem.name}{end}.png") for end in ends]
        for path, image in zip(paths, shown, strict=True):
            _write(path, _png(image))
        return paths
    path = stem.with_name(f"{stem.name}.{kind}")
    stored = images[0] if single else images
    if kind == "npy":
        with replacing(path) as stream:
            np.save(stream, stored, allow_pickle=False)
    elif kind == "hdf5":
        packed = io.BytesIO()  # HDF5 also reads what it writes to
        with h5py.File(packed, "w") as file:
            file.create_dataset(DATASET, data=stored)
        _write(path, packed.getvalue())
    else:
        _write(path, _nifti(images, geometry, upright=upright, compressed=kind == "nii.gz"))
    return [path]


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as stream:
        stream.write(content)


def _png(image: NDArray[np.float32]) -> bytes:
    stream = io.BytesIO()
    grey = np.rint(np.clip(image, 0, 1) * 65535).astype(np.uint16)
    Image.fromarray(grey).save(stream, format="PNG")
    return stream.getvalue()


def _nifti(images: Images, geometry: ParallelGeometry, *, upright: bool, compressed: bool) -> bytes:
    """Image after image as slices, row 0 anterior and column 0 the patient's right."""
    shown = images if upright else images.transpose(0, 2, 1)
    values = np.ascontiguousarray(shown.transpose(2, 1, 0)[::-1, ::-1])
    side = geometry.pixel_width * 1e3
    affine = np.diag([side, side, 1.0, 1.0])
    affine[:2, 3] = -side * (geometry.image_size - 1) / 2
    return stored_bytes(values, affine, compressed=compressed)
