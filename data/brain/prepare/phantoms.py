"""A data set of random brains in the brain-MRI layout, for trying things out.

Readers import this module for its settings, so what draws and writes is imported by the functions
that do.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from data.brain.layout import PROVENANCE
from data.caches.atomic_folder import is_filled
from data.prepare.phantoms import check_same_phantoms

if TYPE_CHECKING:
    from data.brain.prepare.writer import BrainWriter

LESION_SET = "Synthetic"
Length = Annotated[int, Field(ge=8)]
Progress = Callable[[int, int], None]  # called with (volumes done, volumes in all)

_log = logging.getLogger(__name__)


class BrainPhantomSettings(BaseModel):
    """What data set of brains to make; the same settings make the same volumes everywhere."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shape: tuple[Length, Length, Length] = Field(
        (64, 64, 24), description="voxels of a volume: rows, columns, slices"
    )
    train: PositiveInt = Field(12, description="healthy volumes to train on, in each fold")
    validation: PositiveInt = Field(4, description="healthy volumes to validate on, in each fold")
    test: PositiveInt = Field(4, description="healthy volumes to test on")
    lesions: PositiveInt = Field(
        4, description="volumes with lesions to validate on, and as many to test on"
    )
    folds: PositiveInt = Field(2, description="training and validation lists")
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _folds_are_disjoint(self) -> Self:
        most = (self.train + self.validation) // self.validation
        if self.folds > most:
            raise ValueError(
                f"folds: found {self.folds}, expected at most {most} with {self.train} volumes to "
                f"train on and {self.validation} to validate on, so that no two folds validate on "
                "the same; lower it, or raise train"
            )
        return self

    @property
    def total(self) -> int:
        """The number of volumes of all splits."""
        return self.train + self.validation + self.test + 2 * self.lesions


def ensure_brain_phantoms(root: Path, settings: BrainPhantomSettings) -> None:
    """Make the data set at `root` unless something is there already.

    Safe to call from several processes at once: one builds, the others wait for it.

    Raises:
        DataError: phantoms of other settings are there, or the folder cannot be written.
    """
    if not is_filled(root):
        _log.info("making %d phantom brains in %s", settings.total, root)
        generate_brain_phantoms(root, settings)
    check_same_phantoms(root / PROVENANCE, settings, "brain_phantoms")


def generate_brain_phantoms(
    root: Path,
    settings: BrainPhantomSettings,
    *,
    overwrite: bool = False,
    progress: Progress = lambda done, total: None,
) -> bool:
    """Write a data set of brains to `root`, whole or not at all.

    Returns:
        False if another process made `root` in the meantime; then nothing was written.

    Raises:
        DataError: the folder cannot be written.
    """
    from data.brain.prepare.writer import BrainWriter
    from data.caches.atomic_folder import build_folder

    def write(folder: Path) -> None:
        writer = BrainWriter(folder)
        healthy, ill = _write_volumes(writer, settings, progress)
        _write_lists(writer, settings, healthy, ill)
        record = json.dumps({"brain_phantoms": settings.model_dump(mode="json")}, indent=2)
        (folder / PROVENANCE).write_text(record + "\n", encoding="utf-8")

    return build_folder(root, write, overwrite=overwrite)


def _write_volumes(
    writer: BrainWriter, settings: BrainPhantomSettings, progress: Progress
) -> tuple[list[str], list[str]]:
    """Every volume; returns the names of the healthy and of the ill."""
    import numpy as np

    from data.brain.prepare.anatomy import draw_brain
    from data.brain.prepare.lesions import add_lesions

    rows, columns, slices = settings.shape
    names: tuple[list[str], list[str]] = ([], [])
    for number in range(settings.total):
        brain = draw_brain(settings.seed, number, (slices, rows, columns))
        if number < settings.total - 2 * settings.lesions:
            name = f"phantom{number:04d}"
            writer.healthy(name, brain.images, brain.mask, brain.voxel_size)
            names[0].append(name)
        else:
            name = f"lesion{number:04d}"
            rng = np.random.default_rng([settings.seed, number, 1])
            images, labels = add_lesions(rng, brain.images, brain.mask, brain.voxel_size)
            writer.lesions(name, LESION_SET, images, brain.mask, labels, brain.voxel_size)
            names[1].append(name)
        progress(number + 1, settings.total)
    return names


def _write_lists(
    writer: BrainWriter, settings: BrainPhantomSettings, healthy: list[str], ill: list[str]
) -> None:
    pool, test = healthy[: -settings.test], healthy[-settings.test :]
    for fold in range(settings.folds):
        start = fold * settings.validation
        validation = pool[start : start + settings.validation]
        writer.healthy_list("train", fold, [name for name in pool if name not in validation])
        writer.healthy_list("validation", fold, validation)
    writer.healthy_list("test", 0, test)
    writer.lesion_list(LESION_SET, "validation", ill[: settings.lesions])
    writer.lesion_list(LESION_SET, "test", ill[settings.lesions :])
    writer.finish()
