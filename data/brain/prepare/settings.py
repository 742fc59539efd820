"""What the commands that make data in the brain-MRI layout are asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from data.brain.layout import Mode
from data.prepare.fields import (
    Metavar,
    Out,
    Overwrite,
    PatientPattern,
    PhantomSettings,
    PrepareSettings,
    Seed,
    Shares,
)

MaskMethod = Literal["auto", "nonzero", "threshold", "deepbet"]

RADII = (3.0, 18.0)  # of lesions, millimetres

Radius = Annotated[float, Field(gt=0, le=60)]  # millimetres
Length = Annotated[int, Field(ge=8)]  # voxels


class BrainPrepareSettings(PrepareSettings):
    """What to make of which volumes."""

    source: Path = Field(
        description="a brain volume (.nii.gz, .mgz, .nrrd, .mha), or a folder of them"
    )
    out: Out
    modality: Mode | None = Field(
        None, description="contrast to take; what the files' names say if not given"
    )
    patient_pattern: PatientPattern = None
    mask_method: MaskMethod = Field(
        "auto",
        description="how to find the brain where there is no NAME_mask file: `nonzero` for "
        "volumes stripped of the skull before, `threshold` for whole heads, `auto` looks which it "
        "is; `deepbet` is a trained network for T1 heads, an extra to install",
    )
    split: Shares = Field((0.7, 0.1, 0.2), description="shares of subjects")
    folds: PositiveInt = Field(1, description="training and validation lists, for cross-validation")
    variants: PositiveInt | None = Field(
        None,
        description="random variants of each volume: poses, shapes, fields and contrasts; if not "
        "given 1, or as many as make 24 where subjects are too few to be split",
    )
    lesions: Literal["none", "synthetic"] = Field(
        "none",
        description="`synthetic` paints labelled lesions into volumes that are not trained on, so "
        "that finding them can be measured",
    )
    lesion_radius: Annotated[tuple[Radius, Radius], Metavar("LOW HIGH")] = Field(
        RADII, description="of synthetic lesions, in mm; small ones are the most frequent"
    )
    seed: Seed = 0
    overwrite: Overwrite = False

    @model_validator(mode="after")
    def _radii_ascend(self) -> Self:
        low, high = self.lesion_radius
        if low > high:
            raise ValueError(f"lesion_radius: found {low:g} {high:g}, expected the smaller first")
        return self


class BrainPhantomSettings(PhantomSettings):
    """What data set of brains to make; the same settings make the same volumes everywhere."""

    shape: Annotated[tuple[Length, Length, Length], Metavar("ROWS COLUMNS SLICES")] = Field(
        (64, 64, 24), description="voxels of a volume: rows, columns, slices"
    )
    train: PositiveInt = Field(12, description="healthy volumes to train on, in each fold")
    validation: PositiveInt = Field(4, description="healthy volumes to validate on, in each fold")
    test: PositiveInt = Field(4, description="healthy volumes to test on")
    lesions: PositiveInt = Field(
        4, description="volumes with lesions to validate on, and as many to test on"
    )
    folds: PositiveInt = Field(2, description="training and validation lists")
    seed: Seed = 0

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
