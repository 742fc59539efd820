"""What becomes of every brain volume that was found, before any of them is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from data.brain.layout import Mode
from data.brain.prepare.assignment import BrainAssignment, assign_brains, least_subjects
from data.brain.prepare.lesions import RADII
from data.brain.prepare.mask import MaskMethod
from data.brain.prepare.sources import Source, Sources
from protocol.errors import DataError

WANTED = 24  # volumes, where subjects are so few that they are varied

Radius = Annotated[float, Field(gt=0, le=60)]  # millimetres
Share = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class BrainPrepareSettings(BaseModel):
    """What to make of which volumes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Path
    out: Path
    modality: Mode | None = None
    mask_method: MaskMethod = "auto"
    split: tuple[Share, Share, Share] = (0.7, 0.1, 0.2)
    folds: PositiveInt = 1
    variants: PositiveInt | None = None
    lesions: Literal["none", "synthetic"] = "none"
    lesion_radius: tuple[Radius, Radius] = RADII
    seed: Annotated[int, Field(ge=0)] = 0
    overwrite: bool = False

    @model_validator(mode="after")
    def _radii_ascend(self) -> Self:
        low, high = self.lesion_radius
        if low > high:
            raise ValueError(f"lesion_radius: found {low:g} {high:g}, expected the smaller first")
        return self


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One volume to write: a subject's own, or a variant of it."""

    source: Source
    variant: int  # 0 for the volume as it is
    name: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What becomes of every volume."""

    contrast: Mode
    healthy: tuple[Piece, ...]
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
        names = [one.subject for one in self.ill]
        return tuple(names[: len(names) // 2]), tuple(names[len(names) // 2 :])


def plan_brains(settings: BrainPrepareSettings, sources: Sources) -> Plan:
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
    few = len(healthy) < least_subjects(settings.folds, lesions=lesions)
    variants = settings.variants or (-(-WANTED // len(healthy)) if few else 1)
    pieces = tuple(
        Piece(source=one, variant=number, name=_name(one, number, variants))
        for one in healthy
        for number in range(variants)
    )
    return Plan(
        contrast=sources.contrast,
        healthy=pieces,
        assignment=assign_brains(
            [piece.name if few else piece.source.subject for piece in pieces],
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
    notes = [f"{len(sources.found)} {sources.contrast} volumes, {segmented} of them segmented."]
    if sources.left_out:
        notes.append(f"{len(sources.left_out)} volumes of other contrasts are left out.")
    if variants > 1:
        notes.append(
            f"{variants} variants of each healthy one: random poses, shapes, fields, contrasts."
        )
    if not few:
        return [*notes, "Split by subject."]
    people = "ONE PERSON" if len(healthy) == 1 else f"THE SAME {len(healthy)} PEOPLE"
    return [
        *notes,
        f"TRAIN, VALIDATION AND TEST ALL COME FROM {people}, varied at random: results will show "
        "whether training works, not how it does on people it has not seen.",
    ]
