"""What the command that makes X-ray/CT pairs of a user's scans is asked for."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from data.physics.photons import HIGHEST, KEV, LOWEST
from data.prepare.fields import (
    Metavar,
    NanAsAir,
    Out,
    Overwrite,
    PatientPattern,
    PrepareSettings,
    Scans,
    Seed,
    SeriesArePatients,
    Shares,
    check_ascends,
)
from data.xray_ct.settings import PairEdge, PairLayout, PairXraySize


class XrayCtPrepareSettings(PrepareSettings):
    """What to make of which scans."""

    source: Scans
    out: Out
    layout: PairLayout = "diffx2ct"
    size: PairEdge = 256
    xray_size: PairXraySize = 256
    intensity_range: Annotated[tuple[float, float] | None, Metavar("AIR BONE")] = Field(
        None,
        description="for scans not in HU: the values of air and of dense bone, which become -1000 "
        "and 3071 HU; soft tissue is about a quarter of the way, so choose BONE that yours is too",
    )
    nan_as_air: NanAsAir = False
    field_of_view: Annotated[PositiveFloat | None, Metavar("MM")] = Field(
        None,
        description="edge of the cube around the body's middle; the body's longest side and 3 % "
        "at both ends if not given",
    )
    geometry: Literal["parallel", "cone"] = Field(
        "parallel", description="parallel rays, or a cone from a point source"
    )
    source_isocentre: Annotated[PositiveFloat, Metavar("MM")] = Field(
        1000.0, description="cone: source to body's middle"
    )
    source_detector: Annotated[PositiveFloat, Metavar("MM")] = Field(
        1500.0, description="cone: source to detector"
    )
    detector_width: Annotated[PositiveFloat | None, Metavar("MM")] = Field(
        None,
        description="cone: of the square detector; shows the cube's edge at its middle if not "
        "given",
    )
    energy: Annotated[float, Metavar("KEV")] = Field(
        KEV, ge=LOWEST, le=HIGHEST, description="of the X-rays; matters for noise"
    )
    photons: PositiveFloat | None = Field(
        None,
        description="that a pixel counts without a body, for noise; no noise if not given",
    )
    split: Shares = Field((0.7, 0.15, 0.15), description="shares of patients")
    variants: PositiveInt | None = Field(
        None,
        description="pairs made of each scan: the scan as it is, and turned, scaled, moved and "
        "mirrored at random; if not given 1, or as many as make 24 where there are fewer than "
        "three patients",
    )
    series_are_patients: SeriesArePatients = False
    patient_pattern: PatientPattern = None
    seed: Seed = 0
    overwrite: Overwrite = False

    @model_validator(mode="after")
    def _lengths_ascend(self) -> Self:
        check_ascends("intensity_range", self.intensity_range)
        if not self.source_isocentre < self.source_detector:
            raise ValueError(
                f"source_detector: found {self.source_detector:g}, expected more than the "
                f"{self.source_isocentre:g} mm of --source_isocentre"
            )
        return self
