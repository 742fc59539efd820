"""Writing one split in LoDoPaB-CT's published layout."""

from __future__ import annotations

import re
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from data.geometry import ParallelGeometry
from data.lodopab.layout import (
    DATASET,
    IMAGES_PER_FILE,
    PROVENANCE,
    FileKind,
    file_name,
    patients_name,
)
from data.prepare import destination
from data.splits import Split

_OURS = re.compile(
    r"(observation|ground_truth)_(train|validation|test)_\d{3,}\.hdf5"
    r"|patient_ids_rand_(train|validation|test)\.csv|\.cache|" + re.escape(PROVENANCE)
)


class LodopabWriter:
    """Images of one split, written in any order, and the csv file that names their patients."""

    def __init__(
        self, folder: Path, split: Split, *, count: int, geometry: ParallelGeometry
    ) -> None:
        """Create the split's files in `folder`, with room for `count` images."""
        self._folder = folder
        self._split = split
        self._patients: list[str | None] = [None] * count
        for number, start in enumerate(range(0, count, IMAGES_PER_FILE)):
            held = min(IMAGES_PER_FILE, count - start)
            self._create("observation", number, (held, geometry.angles, geometry.detectors))
            self._create("ground_truth", number, (held, geometry.image_size, geometry.image_size))

    def write(
        self,
        index: int,
        observation: NDArray[np.float32],
        image: NDArray[np.float32],
        patient: str,
    ) -> None:
        """Write image `index`: observation (angles, detectors), image (N, N), and its patient."""
        number, within = divmod(index, IMAGES_PER_FILE)
        for kind, values in self._kinds(observation, image):
            with h5py.File(self._folder / file_name(kind, self._split, number), "r+") as file:
                file[DATASET][within] = values
        self._patients[index] = patient

    def finish(self) -> None:
        """Write the patients, once every image is there.

        Raises:
            RuntimeError: an image has not been written.
        """
        patients = [patient for patient in self._patients if patient is not None]
        if len(patients) < len(self._patients):
            missing = self._patients.index(None)
            raise RuntimeError(f"image {missing} of the {self._split} split was never written")
        text = "".join(f"{patient}\n" for patient in patients)
        (self._folder / patients_name(self._split)).write_text(text, encoding="utf-8")

    @staticmethod
    def _kinds(
        observation: NDArray[np.float32], image: NDArray[np.float32]
    ) -> tuple[tuple[FileKind, NDArray[np.float32]], tuple[FileKind, NDArray[np.float32]]]:
        return ("observation", observation), ("ground_truth", image)

    def _create(self, kind: FileKind, number: int, shape: tuple[int, int, int]) -> None:
        with h5py.File(self._folder / file_name(kind, self._split, number), "w") as file:
            # One chunk an image: a reader that wants one image touches no other.
            file.create_dataset(DATASET, shape=shape, dtype=np.float32, chunks=(1, *shape[1:]))


def check_destination(out: Path, *, overwrite: bool) -> None:
    """Refuse a folder that is taken; with `overwrite`, one that holds more than LoDoPaB's files.

    Raises:
        DataError: it is taken.
    """
    destination.check_replaceable(
        out, overwrite=overwrite, is_ours=lambda name: bool(_OURS.fullmatch(name))
    )


def check_room(out: Path, geometry: ParallelGeometry, images: int) -> None:
    """Refuse to start what would fill the disk.

    Raises:
        DataError: there is not room for so many images.
    """
    values = geometry.angles * geometry.detectors + geometry.image_size**2
    destination.check_room(out, 4 * values * images, lower="--image_size, --angles or --detectors")
