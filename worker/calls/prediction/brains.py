"""Brains to their healthy reconstruction, what differs from it, and what counts as a lesion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.brain.given import (
    GivenBrain,
    PreparedBrain,
    Space,
    find_brains,
    prepare_given,
)
from data.brain.prepare.settings import MaskMethod
from data.brain.settings import BrainSettings
from data.scans.dicom_writer import Derivation, write_derived
from data.scans.files import stem_of
from data.scans.volume import Millimetres
from models.blocks.anomaly.evaluation.parameters import Parameters
from models.blocks.anomaly.evaluation.postprocess import (
    drop_small_components,
    eroded,
    filtered_residual,
)
from protocol.errors import DataError, SettingsError
from worker.calls.prediction.ensemble import Ensemble
from worker.calls.prediction.task import Done, Named, Task, Wanted, distinct
from worker.calls.prediction.volumes import write_dicom, write_nifti

BATCH = 16

Voxels = NDArray[np.float32]
LeftOut = Callable[[str, str], None]


@dataclass(frozen=True, kw_only=True)
class Detection:
    """From a residual to lesions."""

    parameters: Parameters
    threshold: float | None  # of the filtered residual; None: the percentile of each case's own
    source: str  # where these come from, for people


class BrainTask(Task[GivenBrain]):
    """A case is a volume, or a series of MR in DICOM."""

    things = ("brain", "brains")
    formats = ("nii.gz", "nii", "dicom")

    def __init__(
        self,
        wanted: Wanted,
        ensemble: Ensemble,
        data: BrainSettings,
        voxel_size: Millimetres | None,
        detection: Detection,
        left_out: LeftOut,
    ) -> None:
        """Look for lesions by an ensemble.

        Args:
            data: settings of its training.
            voxel_size: of the volumes that it was trained on, before they were reduced.
            left_out: told of files that are damaged, and in a sentence why.
        """
        self._wanted = wanted
        self._ensemble = ensemble
        self._data = data
        self._voxel_size = voxel_size
        self._detection = detection
        self._left_out = left_out

    def cases(self) -> list[Named[GivenBrain]]:
        (source,) = self._wanted.inputs
        mask = self._wanted.options.get("mask")

        def damaged(path: Path, error: DataError) -> None:
            self._left_out(path.name, str(error))

        found, notes = find_brains(source, self._data, mask and Path(mask), damaged)
        self.notes = tuple(notes)
        if self._wanted.format == "dicom":
            others = [one.source.image.name for one in found if one.series is None]
            if others:
                raise SettingsError(
                    f"found dicom, but {others[0]} came as another format, which says nothing of "
                    "patient and study; expected nii.gz or nii",
                    key="--format",
                )
        return distinct(
            [Named(name=_name(one, source), files=one.files, given=one) for one in found]
        )

    def predict(self, case: Named[GivenBrain], stem: Path) -> Done:
        method: MaskMethod = self._wanted.options.get("mask_method", "auto")
        brain = prepare_given(case.given, self._data, method, self._voxel_size)
        healthy = self._reconstructed(brain)
        residual = np.abs(brain.image - healthy)
        found, threshold = self._lesions(residual, brain.mask)
        low, high = brain.window
        own = ((low + (high - low) * healthy) * brain.mask).astype(np.float32)
        results: dict[str, NDArray[Any]] = {
            "reconstruction": own,
            "residual": residual.astype(np.float32),
            "lesions": found.astype(np.uint8),
        }
        litre = abs(float(np.linalg.det(brain.affine[:3, :3]))) / 1e3  # of a voxel, in millilitres
        return Done(
            outputs=self._written(case.given, brain, results, stem),
            told={
                "threshold": threshold,
                "lesions_ml": round(float(found.sum()) * litre, 3),
                "brain_ml": round(float(brain.mask.sum()) * litre, 1),
                "mask": brain.mask_from,
                "window": list(brain.window),
            },
            remarks=brain.remarks,
        )

    def settings(self) -> dict[str, Any]:
        return {
            "format": self._wanted.format,
            "data": self._data.model_dump(mode="json", include=_PREPROCESSING),
            "voxel_size": self._voxel_size,
            "mask_method": self._wanted.options.get("mask_method"),
            "postprocessing": self._detection.parameters.model_dump(mode="json"),
            "threshold": self._detection.threshold,
        }

    def _reconstructed(self, brain: PreparedBrain) -> Voxels:
        """Slices without brain are left as they are."""
        filled = np.flatnonzero(brain.mask.any(axis=(1, 2)))
        slices, masks = (
            np.ascontiguousarray(values[filled][:, np.newaxis], dtype=np.float32)
            for values in (brain.image, brain.mask)
        )
        healthy = brain.image.copy()
        healthy[filled] = self._ensemble(slices, masks)[:, 0]
        return healthy

    def _lesions(
        self, residual: Voxels, mask: NDArray[np.bool_]
    ) -> tuple[NDArray[np.bool_], float]:
        parameters, threshold = self._detection.parameters, self._detection.threshold
        anomaly = filtered_residual(residual, mask, parameters.filtering)
        if threshold is None:
            inside = anomaly[eroded(mask, parameters.erosion)]
            threshold = float(np.percentile(inside, parameters.percentile)) if inside.size else 0.0
        above = anomaly > np.float32(threshold)
        return drop_small_components(above, parameters.largest_dropped), threshold

    def _written(
        self,
        given: GivenBrain,
        brain: PreparedBrain,
        results: dict[str, NDArray[Any]],
        stem: Path,
    ) -> list[Path]:
        kind = self._wanted.format or "nii.gz"
        paths = []
        for number, (name, values) in enumerate(results.items(), start=1):
            place = stem.with_name(f"{stem.name}_{name}")
            labels = values.dtype.kind == "u"
            if kind != "dicom":
                on_grid = brain.back(values)
                stored = on_grid.astype(np.uint8) if labels else on_grid
                paths.append(write_nifti(place, kind, stored, brain.space.affine))
                continue
            assert given.series is not None, "it was looked at with the cases"
            slices = given.series.slices
            images = [
                brain.back(values, Space((*one.shape, 1), one.affine))[..., 0] for one in slices
            ]
            what = Derivation(
                kind=name.upper(),
                description=f"{name} by an anomaly model of tomostudy, for research alone",
                number=number,
            )

            def fill(folder: Path) -> None:
                write_derived(folder, slices, images, what, labels=labels)  # noqa: B023

            paths.append(write_dicom(place, fill))
        return paths


_PREPROCESSING = {"crop", "size", "percentiles", "curvature_flow", "mode"}


def _name(brain: GivenBrain, source: Path) -> str:
    """Its place below the source, without suffix; of a series that of its folder."""
    image = brain.source.image
    if brain.series is None:
        folder = source if source.is_dir() else source.parent
        return image.relative_to(folder).with_name(stem_of(image.name)).as_posix()
    if not source.is_dir():
        return source.stem
    below = image.relative_to(source)
    return below.as_posix() if below.parts else source.absolute().name
