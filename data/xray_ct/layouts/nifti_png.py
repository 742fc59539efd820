"""The layout of NIfTI volumes with PNG views: a folder a patient.

{pid}/{pid}.nii.gz           HU, of any orientation, as its affine says; or .nii
{pid}/{pid}_pa_drr.png       grey, 8 or 16 bits
{pid}/{pid}_lat_drr.png
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.physics.attenuation import check_hounsfield
from data.reading import reading
from data.scans.nifti import read_header, read_nifti
from data.scans.nifti_writer import nifti_bytes
from data.scans.volume import axial, axial_extent
from data.xray_ct.images import read_xray
from data.xray_ct.layouts.format import (
    CaseFiles,
    Extent,
    Pair,
    check_finite,
    check_shape,
    there,
)

VIEWS = ("pa", "lat")


class NiftiPngFormat:
    """Reads and writes NIfTI volumes with PNG views."""

    name = "nifti_png"
    says_its_axes = True
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

        for path in (case.front, case.lateral):
            there(path, case.name)
            with reading(path, "a PNG image"), Image.open(path, formats=["PNG"]):
                pass
        header = read_header(case.ct)
        shape, voxel_size = axial_extent(check_shape(case.ct, header.shape), header.affine)
        return Extent(shape=shape, voxel_size=voxel_size, remarks=header.remarks)

    def volume(self, case: CaseFiles, axes: str | None) -> NDArray[np.float32]:
        """Read the volume; its affine says where its axes lead to."""
        found = read_nifti(case.ct)
        check_finite(case.ct, found.values)
        check_hounsfield(
            case.ct, found.values, "export it again, or use `prepare xray_ct --intensity_range`"
        )
        return axial(found.values, found.affine).values[::-1]  # from head to feet

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
