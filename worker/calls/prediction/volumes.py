"""Volumes as NIfTI, or as folders of DICOM slices, each whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.caches.atomic_folder import build_folder
from data.scans.nifti_writer import stored_bytes
from protocol.files import replacing


def write_nifti(
    stem: Path, kind: str, values: NDArray[np.generic], affine: NDArray[np.float64]
) -> Path:
    """`stem`.nii.gz or `stem`.nii, of a volume on the grid of that affine."""
    return write_bytes(stem, kind, stored_bytes(values, affine, compressed=kind == "nii.gz"))


def write_bytes(stem: Path, kind: str, content: bytes) -> Path:
    """`stem`.`kind`."""
    path = stem.with_name(f"{stem.name}.{kind}")
    with replacing(path) as stream:
        stream.write(content)
    return path


def write_dicom(stem: Path, write: Callable[[Path], None]) -> Path:
    """A folder `stem`, which `write` fills with slices; what is there is replaced by the whole."""
    build_folder(stem, write, overwrite=True)
    stem.with_name(f".{stem.name}.lock").unlink(missing_ok=True)  # nobody else writes here
    return stem
