"""DiffX2CT's layout: torch tensors.

    CT_pt/{id}_ct.pt             (1, D, H, W) or (D, H, W) in [0, 1]; HU = 2524·x − 1024
    DRR_mod/{id}_ct/AP.pt        (H, W) or (1, H, W) in [0, 1]
    DRR_mod/{id}_ct/LAT.pt

The published code says nothing of the axes; head to feet, front to back, right to left is assumed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.physics.attenuation import check_hounsfield
from data.reading import reading
from data.xray_ct.images import load_tensor, read_xray
from data.xray_ct.layouts.format import (
    CaseFiles,
    Extent,
    Pair,
    check_finite,
    check_shape,
    ordered,
    there,
    turned,
)
from protocol.errors import DataError

AIR, RANGE = -1024.0, 2524.0  # HU of 0, and HU between 0 and 1
SUFFIX = "_ct"


class DiffX2ctFormat:
    """Reads and writes DiffX2CT's layout."""

    name = "diffx2ct"
    says_its_axes = False
    pattern = "CT_pt/{id}_ct.pt"

    def cases(self, root: Path) -> list[CaseFiles]:
        """The cases with a volume in CT_pt/."""
        return [
            CaseFiles(
                name=path.stem.removesuffix(SUFFIX),
                ct=path,
                front=root / "DRR_mod" / path.stem / "AP.pt",
                lateral=root / "DRR_mod" / path.stem / "LAT.pt",
            )
            for path in sorted((root / "CT_pt").glob(f"*{SUFFIX}.pt"))
        ]

    def check(self, case: CaseFiles, axes: str | None) -> Extent:
        """Map the tensors and look at their shapes."""
        values = _tensor(case.ct)
        sides = check_shape(case.ct, values.shape)
        if values.dtype.kind != "f":
            raise DataError(
                f"{case.ct} holds {values.dtype} voxels, expected floating-point numbers in [0, 1]"
            )
        for path in (case.front, case.lateral):
            there(path, case.name)
            shape = _tensor(path).shape
            if len(shape) != 2 and not (len(shape) == 3 and shape[0] == 1):
                raise DataError(f"{path} has the shape {shape}, expected one image (H, W)")
        return Extent(shape=ordered(sides, axes), voxel_size=None)

    def volume(self, case: CaseFiles, axes: str | None) -> NDArray[np.float32]:
        """Read and scale the volume."""
        values = _tensor(case.ct)
        stored = np.asarray(values.reshape(check_shape(case.ct, values.shape)), dtype=np.float32)
        check_finite(case.ct, stored)
        low, high = float(stored.min()), float(stored.max())
        if low < -0.01 or high > 1.01:
            raise DataError(
                f"{case.ct} has values from {low:g} to {high:g}, expected 0 to 1 for -1024 to "
                "1500 HU; scale it, or name another data.layout"
            )
        hu = stored * np.float32(RANGE) + np.float32(AIR)
        check_hounsfield(
            f"{case.ct}, as HU = {RANGE:g}·x − {-AIR:g},", hu, "scale it so, or export it again"
        )
        return np.asarray(turned(hu, axes))

    def xrays(self, case: CaseFiles) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Read both views."""
        return read_xray(case.front), read_xray(case.lateral)

    def write(self, root: Path, name: str, pair: Pair) -> None:
        """Write volume and views; the volume is clipped to −1024 … 1500 HU."""
        import torch

        volume = np.clip((pair.hu - AIR) / RANGE, 0, 1).astype(np.float32)
        views = root / "DRR_mod" / f"{name}{SUFFIX}"
        (root / "CT_pt").mkdir(parents=True, exist_ok=True)
        views.mkdir(parents=True, exist_ok=True)
        torch.save(torch.from_numpy(volume[np.newaxis]), root / "CT_pt" / f"{name}{SUFFIX}.pt")
        for view, image in zip(("AP", "LAT"), pair.xrays, strict=True):
            torch.save(torch.from_numpy(image[np.newaxis].copy()), views / f"{view}.pt")


def _tensor(path: Path) -> NDArray[np.generic]:
    with reading(path, "a .pt file of one tensor"):
        return np.asarray(load_tensor(path).numpy())
