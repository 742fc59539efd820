"""Sinograms to images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from data.geometry import ParallelGeometry
from data.lodopab.given import HDF5, Sinograms, open_sinograms, sinogram_files
from data.lodopab.results import write_images
from worker.calls.prediction.ensemble import Ensemble
from worker.calls.prediction.task import Done, Named, Task, Wanted, distinct

BATCH = 16
_RESULT = "image"


class SinogramTask(Task[Path]):
    """A case is a file, be it of one sinogram or of many."""

    things = ("file of sinograms", "files of sinograms")
    formats = ("hdf5", "npy", "nii.gz", "nii", "png")

    def __init__(
        self, wanted: Wanted, ensemble: Ensemble, geometry: ParallelGeometry, *, upright: bool
    ) -> None:
        """Reconstruct by an ensemble.

        Args:
            geometry: of the scan that it was trained for.
            upright: its images are as they are looked at, else transposed.
        """
        self._wanted = wanted
        self._ensemble = ensemble
        self._geometry = geometry
        self._upright = upright

    def cases(self) -> list[Named[Path]]:
        (source,) = self._wanted.inputs
        files = sinogram_files(source, self._wanted.options.get("split"))
        folder = source if source.is_dir() else source.parent
        return distinct(
            [
                Named(
                    name=path.relative_to(folder).with_suffix("").as_posix(),
                    files=(path,),
                    given=path,
                )
                for path in files
            ]
        )

    def predict(self, case: Named[Path], stem: Path) -> Done:
        sinograms = open_sinograms(case.given, self._geometry)
        images = self._reconstructed(sinograms)
        outputs = write_images(
            stem.with_name(f"{stem.name}_{_RESULT}"),
            images,
            self._format(case.given),  # type: ignore[arg-type]
            self._geometry,
            single=len(sinograms.shape) == 2,
            upright=self._upright,
        )
        low, high = float(images.min()), float(images.max())
        remarks = []
        if high - low < 1e-6:
            remarks.append("the images are of one value throughout")
        return Done(
            outputs=outputs, told={"images": len(images), "range": [low, high]}, remarks=remarks
        )

    def settings(self) -> dict[str, Any]:
        return {"format": self._wanted.format, "geometry": vars(self._geometry)}

    def _reconstructed(self, sinograms: Sinograms) -> np.ndarray[Any, np.dtype[np.float32]]:
        parts = []
        start = 0
        while start < sinograms.count:
            stop = min(start + self._ensemble.batch, sinograms.count)
            parts.append(self._ensemble(sinograms.read(start, stop, self._geometry))[:, 0])
            start = stop
        return np.concatenate(parts)

    def _format(self, path: Path) -> str:
        return self._wanted.format or ("hdf5" if path.suffix.lower() in HDF5 else "npy")
