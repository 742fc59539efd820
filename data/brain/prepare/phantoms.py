"""A data set of random brains in the brain-MRI layout, for trying things out.

Readers import this module, so what draws and writes is imported by the functions that do.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from data.brain.layout import PROVENANCE
from data.brain.prepare.settings import BrainPhantomSettings
from data.prepare.destination import write_record
from data.prepare.phantoms import Phantoms
from data.prepare.telling import Step

if TYPE_CHECKING:
    from data.brain.prepare.writer import BrainWriter

LESION_SET = "Synthetic"
KEY = "brain_phantoms"  # of the record


def _write(folder: Path, settings: BrainPhantomSettings, step: Step) -> None:
    from data.brain.prepare.writer import BrainWriter

    writer = BrainWriter(folder)
    healthy, ill = _write_volumes(writer, settings, step)
    _write_lists(writer, settings, healthy, ill)
    write_record(folder / PROVENANCE, {KEY: settings.model_dump(mode="json")})


def _write_volumes(
    writer: BrainWriter, settings: BrainPhantomSettings, step: Step
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
        step(number + 1, settings.total)
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


BRAIN_PHANTOMS = Phantoms(things="phantom brains", write=_write, record=PROVENANCE, key=KEY)
