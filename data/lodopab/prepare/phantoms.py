"""A data set of random body-like phantoms in LoDoPaB-CT's layout, for trying things out.

Readers import this module, so what draws and simulates is imported by the function that does.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data.lodopab.layout import PROVENANCE
from data.lodopab.prepare.settings import LodopabPhantomSettings
from data.prepare.destination import write_record
from data.prepare.phantoms import Phantoms
from data.prepare.telling import Step
from data.splits import SPLITS, Split

SLICES_PER_PATIENT = 4


def _write(folder: Path, settings: LodopabPhantomSettings, step: Step) -> None:
    done = 0
    for split in SPLITS:
        done = _write_split(folder, split, settings, done, step)
    write_record(folder / PROVENANCE, {"phantoms": settings.model_dump()})


def _write_split(
    folder: Path, split: Split, settings: LodopabPhantomSettings, done: int, step: Step
) -> int:
    from data.geometry import ParallelGeometry
    from data.lodopab.prepare.anatomy import draw_slice
    from data.lodopab.prepare.writer import LodopabWriter
    from data.physics.parallel import LANES, simulate, simulation_size

    geometry = ParallelGeometry.lodopab(
        angles=settings.angles, detectors=settings.detectors, image_size=settings.image_size
    )
    fine_size = simulation_size(settings.image_size)
    count = int(getattr(settings, split))
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
            step(done + index + 1, settings.total)
    writer.finish()
    return done + count


LODOPAB_PHANTOMS = Phantoms(things="phantoms", write=_write, record=PROVENANCE)
