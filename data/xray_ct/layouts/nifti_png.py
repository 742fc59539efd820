"""The layout of NIfTI volumes with PNG views: a folder a patient.

{pid}/{pid}.nii.gz           HU, of any orientation, as its affine says; or .nii
{pid}/{pid}_pa_drr.png       grey, 8 or 16 bits
{pid}/{pid}_lat_drr.png
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray

from data.physics.attenuation import check_hounsfield
from data.scans.nifti import read_nifti
from data.scans.nifti_writer import nifti_bytes
from data.scans.volume import Millimetres
from data.xray_ct.images import read_xray
from data.xray_ct.layouts.format import (
    CANONICAL,
    CaseFiles,
    Extent,
    Pair,
    check_finite,
    check_shape,
    there,
)
from protocol.errors import DataError

VIEWS = ("pa", "lat")


class NiftiPngFormat:
    """Reads and writes NIfTI volumes with PNG views."""

    name = "nifti_png"
    pattern = "{pid}/{pid}.nii.gz"

    def cases(self, root: Path) -> list[CaseFiles]:
        """The folders that hold a volume of their own name."""
        found = []
        for folder in sorted(path for path in root.glob("*") if path.is_dir()):
            ids = [folder / f"{folder.name}{suffix}" for suffix in (".nii.gz", ".nii")]
            volume = next((path for path in ids if path.is_file()), None)
            if volume is not None:
                front, lateral = (folder / f"{folder.name}_{view}_drr.png" for view in VIEWS)
                found.append(CaseFiles(name=folder.name, ct=volume, front=front, lateral=lateral))
        return found

    def check(self, case: CaseFiles, axes: str | None) -> Extent:
        """Look at the headers of the volume and of both views."""
        from PIL import Image

        extent = _extent(case.ct)
        for path in (case.front, case.lateral):
            there(path, case.name)
            try:
                with Image.open(path, formats=["PNG"]):
                    pass
            except (OSError, SyntaxError, ValueError) as error:
                raise DataError(f"{path} is no PNG image ({error}); export it again") from error
        return extent

    def volume(self, case: CaseFiles, axes: str | None) -> NDArray[np.float32]:
        """Read the volume; its affine says where its axes lead to."""
        found = read_nifti(case.ct)
        values = found.values
        check_finite(case.ct, values)
        check_hounsfield(
            case.ct, values, "export it again, or use `prepare xray_ct --intensity_range`"
        )
        return canonical(values, found.affine)[0]

    def xrays(self, case: CaseFiles) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Read both views."""
        return read_xray(case.front), read_xray(case.lateral)

    def write(self, root: Path, name: str, pair: Pair) -> None:
        """Write the volume as whole HU, centred on 0, and 16-bit views."""
        from PIL import Image

        folder = root / name
        folder.mkdir(parents=True)
        (folder / f"{name}.nii.gz").write_bytes(nifti_bytes(pair.hu, pair.voxel_size))
        for view, image in zip(VIEWS, pair.xrays, strict=True):
            grey = np.rint(image * 65535).astype(np.uint16)
            Image.fromarray(grey).save(folder / f"{name}_{view}_drr.png")


def canonical(
    values: NDArray[np.float32], affine: NDArray[np.float64]
) -> tuple[NDArray[np.float32], Millimetres]:
    """A NIfTI volume with axes from head to feet, front to back, right to left.

    Args:
        values: (a, b, c).
        affine: (4, 4), from indices to millimetres to the right, anterior and superior.

    Returns:
        The volume (D, H, W), and the mm between its slices, rows and columns.
    """
    turned = nibabel.orientations.apply_orientation(values, _to_canonical(affine))
    return np.ascontiguousarray(turned, dtype=np.float32), _sizes(affine)


def _to_canonical(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(
        nibabel.orientations.ornt_transform(
            nibabel.orientations.io_orientation(affine),
            nibabel.orientations.axcodes2ornt(CANONICAL),
        )
    )


def _sizes(affine: NDArray[np.float64]) -> Millimetres:
    first, second, third = _ordered(list(nibabel.affines.voxel_sizes(affine)), affine)
    return float(first), float(second), float(third)


def _ordered(sides: Sequence[float], affine: NDArray[np.float64]) -> list[float]:
    """What belongs to the file's axes, in the order of the canonical ones."""
    places = _to_canonical(affine)[:, 0].astype(int)
    return [sides[int(np.flatnonzero(places == place)[0])] for place in range(3)]


def _extent(path: Path) -> Extent:
    """From the header alone."""
    try:
        image = nibabel.loadsave.load(path)
    except (ImageFileError, OSError, ValueError, EOFError) as error:
        raise DataError(
            f"{path} is not a whole NIfTI file ({error}); copy or export it again"
        ) from error
    if not isinstance(image, nibabel.nifti1.Nifti1Pair) or image.affine is None:
        raise DataError(f"{path} is {type(image).__name__}, expected NIfTI; convert it")
    shape = tuple(image.shape)
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    sides = check_shape(path, shape)
    affine = np.asarray(image.affine, dtype=np.float64)
    if not np.isfinite(affine).all() or np.linalg.det(affine[:3, :3]) == 0:
        raise DataError(f"{path}: the voxel size in its header is not usable; export it again")
    first, second, third = (int(side) for side in _ordered(sides, affine))
    return Extent(shape=(first, second, third), voxel_size=_sizes(affine))
