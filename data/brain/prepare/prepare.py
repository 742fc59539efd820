"""Turning a user's own brain volumes into a data set in the brain-MRI layout."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from data.brain.layout import PROVENANCE, Mode
from data.brain.prepare.lesions import add_lesions
from data.brain.prepare.phantoms import LESION_SET
from data.brain.prepare.plan import BrainPlan, PlannedBrain, plan_brains
from data.brain.prepare.settings import BrainPrepareSettings
from data.brain.prepare.sources import Source, find_sources
from data.brain.prepare.standard import VOXEL, StandardBrain, standardise
from data.brain.prepare.variants import vary
from data.brain.prepare.writer import BrainWriter, check_brain_destination
from data.prepare.destination import write_data_set, write_record
from data.prepare.telling import Say, Step

OWN_LESIONS = "Own"  # the set of the volumes that came with a segmentation
SIDES = (VOXEL, VOXEL, VOXEL)


def prepare_brain(settings: BrainPrepareSettings, say: Say, step: Step) -> Mode:
    """Write the data set whole or not at all; returns the contrast that it is of.

    Raises:
        DataError: a volume is missing, damaged or empty, they are too few, or the folder is taken.
        SettingsError: the contrast is not given, and the names do not tell.
    """
    check_brain_destination(settings.out, overwrite=settings.overwrite)
    sources = find_sources(settings.source, settings.modality, settings.patient_pattern)
    plan = plan_brains(settings, sources)
    for note in plan.notes:
        say(note)
    work = _Work(settings, plan, say, step)
    write_data_set(settings.out, work.write, overwrite=settings.overwrite)
    return plan.contrast


@dataclass(frozen=True)
class _Work:
    """Writing the data set that has been decided on."""

    settings: BrainPrepareSettings
    plan: BrainPlan
    say: Say
    step: Step
    _subjects: dict[str, dict[str, Any]] = field(default_factory=dict)  # for the record

    def write(self, folder: Path) -> None:
        """Fill `folder`."""
        writer = BrainWriter(folder)
        total = len(self.plan.healthy) + len(self.plan.ill)
        last: tuple[Source, StandardBrain] | None = None
        for place, piece in enumerate(self.plan.healthy):
            if last is None or last[0] is not piece.source:
                last = (piece.source, self._standardised(piece.source))
            self._write_healthy(writer, place, piece, last[1])
            self.step(place + 1, total)
        for number, source in enumerate(self.plan.ill, start=1):
            self._write_ill(writer, source)
            self.step(len(self.plan.healthy) + number, total)
        self._write_lists(writer)
        self._write_record(folder)

    def _standardised(self, source: Source) -> StandardBrain:
        brain = standardise(source, self.settings.mask_method)
        litres = float(brain.mask.sum()) * VOXEL**3 / 1e6
        self.say(f"{source.image.name}: {litres:.2f} l of brain, mask from {brain.mask_from}")
        for remark in brain.remarks:
            self.say(f"LOOK AT {source.image.name}: {remark}")
        return brain

    def _write_healthy(
        self, writer: BrainWriter, place: int, piece: PlannedBrain, standard: StandardBrain
    ) -> None:
        """As it is, with synthetic lesions, or once each."""
        brain = standard
        if piece.variant:
            brain = vary(standard, np.random.default_rng([self.settings.seed, place, 0]))
        self._subjects[piece.name] = self._origin(piece.source, brain, variant=piece.variant)
        images = {self.plan.contrast: brain.image}
        if place not in self.plan.assignment.lesion_validation:
            writer.healthy(piece.name, images, brain.mask, SIDES)
        if place in self.plan.get_lesions:
            rng = np.random.default_rng([self.settings.seed, place, 1])
            changed, labels = add_lesions(
                rng, images, brain.mask, SIDES, self.settings.lesion_radius
            )
            writer.lesions(piece.name, LESION_SET, changed, brain.mask, labels, SIDES)

    def _write_ill(self, writer: BrainWriter, source: Source) -> None:
        brain = self._standardised(source)
        assert brain.segmentation is not None
        images = {self.plan.contrast: brain.image}
        writer.lesions(source.subject, OWN_LESIONS, images, brain.mask, brain.segmentation, SIDES)
        self._subjects[source.subject] = self._origin(source, brain, variant=0)

    def _origin(self, source: Source, brain: StandardBrain, *, variant: int) -> dict[str, Any]:
        origin = {"source": source.image.name, "variant": variant, "mask": brain.mask_from}
        return origin | ({"remarks": list(brain.remarks)} if brain.remarks else {})

    def _write_lists(self, writer: BrainWriter) -> None:
        assignment = self.plan.assignment
        for fold, (train, validation) in enumerate(assignment.folds):
            writer.healthy_list("train", fold, self._names(train))
            writer.healthy_list("validation", fold, self._names(validation))
        writer.healthy_list("test", 0, self._names(assignment.test))
        if self.plan.get_lesions:
            held = self._names(assignment.lesion_validation)
            writer.lesion_list(LESION_SET, "validation", held)
            writer.lesion_list(LESION_SET, "test", self._names(assignment.test))
        if self.plan.ill:
            validation_subjects, test_subjects = self.plan.ill_splits
            if validation_subjects:
                writer.lesion_list(OWN_LESIONS, "validation", validation_subjects)
            writer.lesion_list(OWN_LESIONS, "test", test_subjects)
        writer.finish()

    def _names(self, places: tuple[int, ...]) -> list[str]:
        return [self.plan.healthy[place].name for place in places]

    def _write_record(self, folder: Path) -> None:
        record = {
            "prepared": self.settings.model_dump(mode="json", exclude={"out", "overwrite"}),
            "modality": self.plan.contrast,
            "notes": list(self.plan.notes),
            "splits_share_people": self.plan.from_same_people,
            "subjects": self._subjects,
        }
        write_record(folder / PROVENANCE, record)
