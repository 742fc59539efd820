"""Two X-rays to a CT volume."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel
from torch import Tensor

from data.scans.dicom_writer import Derivation, write_ct
from data.scans.nifti_writer import nifti_bytes
from data.scans.volume import Millimetres
from data.xray_ct.dataset import FAINT
from data.xray_ct.images import DICOM, as_meant, resize_xrays
from data.xray_ct.views import TwoViews, ViewsOfCase, find_cases, read_views
from protocol.errors import SettingsError
from worker.calls.prediction.ensemble import Ensemble
from worker.calls.prediction.task import Done, Named, Task, Wanted, distinct
from worker.calls.prediction.volumes import write_bytes, write_dicom

BATCH = 1


class XrayTask(Task[ViewsOfCase]):
    """A case is a pair of X-rays."""

    things = ("pair of X-rays", "pairs of X-rays")
    formats = ("nii.gz", "nii", "dicom")

    def __init__(
        self,
        wanted: Wanted,
        ensemble: Ensemble,
        data: BaseModel,
        xray_size: int,
        voxel_size: Millimetres,
    ) -> None:
        """Make volumes by an ensemble.

        Args:
            data: settings of its training.
            xray_size: pixels of a side of what it sees.
            voxel_size: mm of the volumes that it was trained on, from head to feet and so on.
        """
        self._wanted = wanted
        self._ensemble = ensemble
        self._turn = int(getattr(data, "xray_turn", 0))
        self._invert = bool(getattr(data, "xray_invert", False))
        self._xray_size = xray_size
        sizes = wanted.options.get("voxel_size")
        self._voxel_size = (sizes[2], sizes[1], sizes[0]) if sizes else voxel_size

    def cases(self) -> list[Named[ViewsOfCase]]:
        found, self.notes = find_cases(self._wanted.inputs)
        if self._wanted.format == "dicom":
            for one in found:
                other = next((p for p in one.files if p.suffix.lower() != DICOM), None)
                if other is not None:
                    raise SettingsError(
                        f"found dicom, but {other.name} came as another format, which says nothing "
                        "of patient and study; expected nii.gz or nii",
                        key="--format",
                    )
        return distinct([Named(name=one.name, files=one.files, given=one) for one in found])

    def predict(self, case: Named[ViewsOfCase], stem: Path) -> Done:
        views = read_views(case.given.inputs)
        xrays = stacked(views, self._turn, self._invert)
        seen = resize_xrays(xrays, self._xray_size)[None]
        hu = self._ensemble(seen.numpy())[0]
        remarks = []
        if bool(xrays.max() < FAINT):
            remarks.append("the X-rays have less than 10 % of white, as 12 bits stored in 16 have")
        return Done(
            outputs=[self._written(hu, case.files, stem.with_name(f"{stem.name}_ct"))],
            told={"hu": [float(hu.min()), float(hu.max())], "voxel_size": list(self._voxel_size)},
            remarks=remarks,
        )

    def settings(self) -> dict[str, Any]:
        return {
            "format": self._wanted.format,
            "voxel_size": list(self._voxel_size),
            "number": self._number,
            "turn": self._turn,
            "invert": self._invert,
        }

    @property
    def _number(self) -> Any:
        return self._wanted.options.get("number") or "int16"

    def _written(self, hu: NDArray[np.float32], files: Sequence[Path], stem: Path) -> Path:
        kind = self._wanted.format or "nii.gz"
        if kind != "dicom":
            packed = nifti_bytes(
                hu,
                self._voxel_size,
                number=self._number,
                compressed=kind == "nii.gz",
            )
            return write_bytes(stem, kind, packed)
        what = Derivation(
            kind="FROM_XRAYS",
            description="CT estimated from two radiographs by tomostudy, for research alone",
            number=1,
        )
        return write_dicom(
            stem,
            lambda folder: write_ct(folder, hu, self._voxel_size, files, what),
        )


def stacked(views: TwoViews, turn: int, invert: bool) -> Tensor:
    """Both views, upright, bright where bodies absorb, and of one size: (2, H, W)."""
    front, lateral = (
        torch.from_numpy(as_meant(view, turn=turn, invert=invert))
        for view in (views.front, views.lateral)
    )
    if front.shape == lateral.shape:
        return torch.stack([front, lateral])
    side = max(*front.shape, *lateral.shape)
    return torch.cat([resize_xrays(view[None], side) for view in (front, lateral)])
