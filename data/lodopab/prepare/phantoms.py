"""A data set of random body-like phantoms in LoDoPaB-CT's layout, for trying things out.

Readers import this module for its settings, so what draws, simulates and locks is imported by the
functions that do.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from data.caches.atomic_folder import is_filled
from data.lodopab.layout import PROVENANCE
from data.prepare.phantoms import check_same_phantoms
from data.splits import SPLITS, Split

SLICES_PER_PATIENT = 4

Progress = Callable[[int, int], None]  # called with (images done, images in all)

_log = logging.getLogger(__name__)


class PhantomSettings(BaseModel):
    """What data set of phantoms to make; the same settings make the same images everywhere."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image_size: Annotated[int, Field(ge=16)] = Field(128, description="rows and columns")
    angles: PositiveInt = Field(256, description="projections over 180°")
    detectors: PositiveInt | None = Field(
        None, description="detector cells; as fine as the image if not given: 183 for 128"
    )
    train: PositiveInt = Field(256, description="training images")
    validation: PositiveInt = Field(32, description="validation images")
    test: PositiveInt = Field(32, description="test images")
    photons: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        4096.0, description="photons a detector cell counts without an object"
    )
    seed: Annotated[int, Field(ge=0)] = 0

    def count(self, split: Split) -> int:
        """The number of a split's images."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[split]

    @property
    def total(self) -> int:
        """The number of images of all splits."""
        return self.train + self.validation + self.test


def ensure_phantoms(root: Path, settings: PhantomSettings) -> None:
    """Make the data set at `root` unless something is there already.

    Safe to call from several processes at once: one builds, the others wait for it.

    Raises:
        DataError: phantoms of other settings are there, or the folder cannot be written.
    """
    if not is_filled(root):
        _log.info("making %d phantoms in %s", settings.total, root)
        generate_phantoms(root, settings)
    check_same_phantoms(root / PROVENANCE, settings)


def generate_phantoms(
    root: Path,
    settings: PhantomSettings,
    *,
    overwrite: bool = False,
    progress: Progress = lambda done, total: None,
) -> bool:
    """Write a data set of phantoms to `root`, whole or not at all.

    Returns:
        False if another process made `root` in the meantime; then nothing was written.

    Raises:
        DataError: the folder cannot be written.
    """
    from data.caches.atomic_folder import build_folder

    def write(folder: Path) -> None:
        done = 0
        for split in SPLITS:
            done = _write_split(folder, split, settings, done, progress)
        provenance = json.dumps({"phantoms": settings.model_dump()}, indent=2)
        (folder / PROVENANCE).write_text(provenance + "\n", encoding="utf-8")

    return build_folder(root, write, overwrite=overwrite)


def _write_split(
    folder: Path, split: Split, settings: PhantomSettings, done: int, progress: Progress
) -> int:
    from data.geometry import ParallelGeometry
    from data.lodopab.prepare.anatomy import draw_slice
    from data.lodopab.prepare.writer import LodopabWriter
    from data.physics.parallel import LANES, detectors_for, simulate, simulation_size

    geometry = ParallelGeometry.lodopab(
        angles=settings.angles,
        detectors=settings.detectors or detectors_for(settings.image_size),
        image_size=settings.image_size,
    )
    fine_size = simulation_size(settings.image_size)
    count = settings.count(split)
    patients = -(-count // SLICES_PER_PATIENT)
    first_patient = SPLITS.index(split) * 1_000_000  # so that no two splits share one
    writer = LodopabWriter(folder, split, count=count, geometry=geometry)
    for start in range(0, count, LANES):
        indices = range(start, min(start + LANES, count))
        # Neighbours in the files are different patients, so that the first few images of a
        # split are as varied as the whole.
        ids = [first_patient + index % patients for index in indices]
        fine = np.stack(
            [
                draw_slice(settings.seed, patient, index // patients, fine_size)
                for patient, index in zip(ids, indices, strict=True)
            ]
        )
        generators = [
            np.random.default_rng([settings.seed, SPLITS.index(split), i]) for i in indices
        ]
        observations, images = simulate(fine, geometry, generators, photons=settings.photons)
        for offset, index in enumerate(indices):
            writer.write(index, observations[offset], images[offset], str(ids[offset]))
            progress(done + index + 1, settings.total)
    writer.finish()
    return done + count
