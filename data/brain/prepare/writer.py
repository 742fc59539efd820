"""Writing the brain-MRI layout: volumes, masks, segmentations and csv files."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.brain.layout import (
    AVAILABLE_T2,
    COLUMNS,
    HEALTHY_FOLDER,
    HEALTHY_SET,
    PROVENANCE,
    Mode,
    healthy_csv,
    lesion_csv,
)
from data.brain.volume import write_upright
from data.prepare.destination import check_replaceable
from data.scans.volume import Millimetres
from data.splits import Split

_OURS = {"Data", PROVENANCE, ".cache"}

Row = dict[str, str]


@dataclass(frozen=True)
class BrainWriter:
    """Fills a folder with one data set; a volume at a time, then the lists of who is where."""

    folder: Path
    _rows: dict[tuple[str, str], Row] = field(default_factory=dict)  # by set and subject
    _t2: set[str] = field(default_factory=set)

    def healthy(
        self,
        subject: str,
        images: Mapping[Mode, NDArray[np.float32]],
        mask: NDArray[np.bool_],
        voxel_size: Millimetres,
    ) -> None:
        """Write a healthy subject's images and mask, all (Z, H, W)."""
        row = self._write(subject, HEALTHY_FOLDER, images, {"mask": mask}, voxel_size)
        self._rows[HEALTHY_SET, subject] = row

    def lesions(
        self,
        subject: str,
        dataset: str,
        images: Mapping[Mode, NDArray[np.float32]],
        mask: NDArray[np.bool_],
        segmentation: NDArray[np.bool_],
        voxel_size: Millimetres,
    ) -> None:
        """Write a subject with lesions, all (Z, H, W)."""
        labels = {"mask": mask, "seg": segmentation}
        row = self._write(subject, f"Test/{dataset}", images, labels, voxel_size)
        self._rows[dataset, subject] = row

    def healthy_list(self, split: Split, fold: int, subjects: Sequence[str]) -> None:
        """Say who is in a healthy split; the volumes must have been written."""
        self._list(healthy_csv(split, fold), HEALTHY_SET, subjects)

    def lesion_list(self, dataset: str, split: Split, subjects: Sequence[str]) -> None:
        """Say who is in a split of a set with lesions."""
        self._list(lesion_csv(dataset, split), dataset, subjects)

    def finish(self) -> None:
        """Write the list of subjects with a T2 volume."""
        self._csv(AVAILABLE_T2, ["", "0"], ([str(i), n] for i, n in enumerate(sorted(self._t2))))

    def _write(
        self,
        subject: str,
        place: str,
        images: Mapping[Mode, NDArray[np.float32]],
        labels: Mapping[str, NDArray[np.bool_]],
        voxel_size: Millimetres,
    ) -> Row:
        shown = "t1" if "t1" in images else "t2"  # the contrast that the csv files name
        paths = {}
        volumes: list[tuple[str, NDArray[Any]]] = [*images.items(), *labels.items()]
        for kind, values in volumes:
            paths[kind] = f"/{place}/{kind}/{subject}_{kind}.nii.gz"
            path = self.folder / "Data" / paths[kind].lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            write_upright(path, values, voxel_size)
        if "t2" in images:
            self._t2.add(f"{subject}_t2.nii.gz")
        return {
            "img_name": f"{subject}_{shown}.nii.gz",
            "label": str(int("seg" in labels)),
            "img_path": paths[shown],
            "mask_path": paths["mask"],
            "seg_path": paths.get("seg", ""),
        }

    def _list(self, name: str, dataset: str, subjects: Sequence[str]) -> None:
        rows = [self._rows[dataset, subject] for subject in subjects]
        cells = (
            [str(number), *(row.get(column, "") for column in COLUMNS)]
            for number, row in enumerate(rows)
        )
        self._csv(name, ["", *COLUMNS], cells)

    def _csv(self, name: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        path = self.folder / "Data" / "splits" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([header, *rows])


def check_brain_destination(out: Path, *, overwrite: bool) -> None:
    """Refuse a folder that is taken; with `overwrite`, one that was not made here.

    Raises:
        DataError: it is taken.
    """
    check_replaceable(out, overwrite=overwrite, is_ours=lambda name: name in _OURS, note=PROVENANCE)
