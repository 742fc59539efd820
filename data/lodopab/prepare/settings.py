"""What the commands that make data in LoDoPaB-CT's layout are asked for."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from data.physics.photons import PHOTONS
from data.prepare.fields import (
    Metavar,
    NanAsAir,
    Out,
    Overwrite,
    PatientPattern,
    PhantomSettings,
    PrepareSettings,
    Scans,
    Seed,
    SeriesArePatients,
    Shares,
    check_ascends,
)

Side = Annotated[int, Field(ge=16, description="rows and columns")]
Angles = Annotated[PositiveInt, Field(description="projections over 180°")]
Detectors = Annotated[
    PositiveInt | None,
    Field(
        description="detector cells; as fine as the image if not given: 513 for 362, 183 for 128"
    ),
]
PHOTONS_MEAN = "photons a detector cell counts without an object: the dose"


class LodopabPrepareSettings(PrepareSettings):
    """What to make of which scans."""

    source: Scans
    out: Out
    intensity_range: Annotated[tuple[float, float] | None, Metavar("LO HI")] = Field(
        None,
        description="for scans not in HU: the values of air and of dense bone, which become 0 and "
        "1; soft tissue is about 0.25 in LoDoPaB-CT, so choose HI so that yours is too",
    )
    nan_as_air: NanAsAir = False
    image_size: Side = 362
    angles: Angles = 1000
    detectors: Detectors = None
    split: Shares = Field(
        (0.8, 0.1, 0.1),
        description="shares of patients; of slices, if there are fewer than three patients",
    )
    gap: int = Field(5, ge=0, description="slices left out between splits of one scan")
    field_of_view: Annotated[PositiveFloat | None, Metavar("MM")] = Field(
        None,
        description="side of the square cut from the middle of each slice, which becomes the "
        "whole image; the slice's longer side if not given",
    )
    photons: PositiveFloat = Field(PHOTONS, description=PHOTONS_MEAN)
    series_are_patients: SeriesArePatients = False
    patient_pattern: PatientPattern = None
    seed: Seed = 0
    overwrite: Overwrite = False

    @model_validator(mode="after")
    def _range_ascends(self) -> Self:
        check_ascends("intensity_range", self.intensity_range)
        return self

    @property
    def fractions(self) -> tuple[float, float, float]:
        """The split's shares, which sum to 1."""
        train, validation, test = (share / sum(self.split) for share in self.split)
        return train, validation, test


class LodopabPhantomSettings(PhantomSettings):
    """What data set of phantoms to make; the same settings make the same images everywhere."""

    image_size: Side = 128
    angles: Angles = 256
    detectors: Detectors = None
    train: PositiveInt = Field(256, description="training images")
    validation: PositiveInt = Field(32, description="validation images")
    test: PositiveInt = Field(32, description="test images")
    photons: float = Field(PHOTONS, gt=0, allow_inf_nan=False, description=PHOTONS_MEAN)
    seed: Seed = 0

    @property
    def total(self) -> int:
        """The number of images of all splits."""
        return self.train + self.validation + self.test
