"""What becomes of every brain volume that was found, before any of them is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from data.brain.layout import Mode
from data.brain.prepare.assignment import BrainAssignment, assign_brains, least_subjects
from data.brain.prepare.settings import BrainPrepareSettings
from data.brain.prepare.sources import Source, Sources
from data.prepare.stand_ins import same_people_note, variants_of_each
from protocol.errors import DataError


@dataclass(frozen=True, kw_only=True)
class PlannedBrain:
    """One volume to write: a subject's own, or a variant of it."""

    source: Source
    variant: int  # 0 for the volume as it is
    name: str


@dataclass(frozen=True, kw_only=True)
class BrainPlan:
    """What becomes of every volume."""

    contrast: Mode
    healthy: tuple[PlannedBrain, ...]
    assignment: BrainAssignment  # of the healthy, by their places
    ill: tuple[Source, ...]  # those with a segmentation of their own
    notes: tuple[str, ...]  # sentences for the user, and for the record
    from_same_people: bool  # whether the splits share persons, as there are too few

    @property
    def get_lesions(self) -> tuple[int, ...]:
        """The places of the healthy that get synthetic lesions; the record of how comes first."""
        held = self.assignment.lesion_validation
        return (*held, *self.assignment.test) if held else ()

    @property
    def ill_splits(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The subjects with lesions of their own: to validate, and to test on."""
        persons = sorted({one.person for one in self.ill})
        first = set(persons[: len(persons) // 2])
        validation = tuple(one.subject for one in self.ill if one.person in first)
        return validation, tuple(one.subject for one in self.ill if one.person not in first)


def plan_brains(settings: BrainPrepareSettings, sources: Sources) -> BrainPlan:
    """Share out the volumes, varied where they are too few.

    Raises:
        DataError: they are too few all the same, or none is healthy.
    """
    healthy = [one for one in sources.found if one.segmentation is None]
    ill = tuple(one for one in sources.found if one.segmentation is not None)
    if not healthy:
        raise DataError(
            f"{settings.source}: all {len(ill)} volumes have a segmentation of lesions, expected "
            "healthy ones to train on; add some"
        )
    lesions = settings.lesions == "synthetic"
    persons = len({one.person for one in healthy})
    few = persons < least_subjects(settings.folds, lesions=lesions)
    variants = variants_of_each(settings.variants, len(healthy), few=few)
    pieces = tuple(
        PlannedBrain(source=one, variant=number, name=_name(one, number, variants))
        for one in healthy
        for number in range(variants)
    )
    return BrainPlan(
        contrast=sources.contrast,
        healthy=pieces,
        assignment=assign_brains(
            [piece.name if few else piece.source.person for piece in pieces],
            settings.split,
            folds=settings.folds,
            lesions=lesions,
            seed=settings.seed,
        ),
        ill=ill,
        notes=tuple(_notes(sources, healthy, variants, few=few)),
        from_same_people=few,
    )


def _name(source: Source, variant: int, variants: int) -> str:
    return source.subject if variants == 1 else f"{source.subject}-v{variant:03d}"


def _notes(sources: Sources, healthy: Sequence[Source], variants: int, *, few: bool) -> list[str]:
    segmented = len(sources.found) - len(healthy)
    volumes = f"{len(sources.found)} {sources.contrast} volumes, {segmented} of them segmented."
    notes = [volumes, *sources.notes]
    if variants > 1:
        notes.append(
            f"{variants} variants of each healthy one: random poses, shapes, fields, contrasts."
        )
    if not few:
        return [*notes, "Split by subject."]
    return [*notes, same_people_note(len({one.person for one in healthy}), "person", "people")]
