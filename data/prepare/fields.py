"""Settings that several preparations share, each said once; of other packages pydantic alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


@dataclass(frozen=True)
class Metavar:
    """What stands for a setting's value in the help of its option."""

    text: str


def _compiles(pattern: str | None) -> str | None:
    try:
        re.compile(pattern or "")
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression ({error})") from None
    return pattern


def _sum_to_one(shares: tuple[float, float, float]) -> tuple[float, float, float]:
    if min(shares) < 1 and abs(sum(shares) - 1) > _ROUNDING:  # else ratios, such as 8 1 1
        given = " ".join(f"{share:g}" for share in shares)
        raise ValueError(f"{given} add up to {sum(shares):g}, expected 1 (or ratios such as 8 1 1)")
    return shares


_ROUNDING = 0.011  # so that thirds may be 0.33 each

Out = Annotated[Path, Field(description="folder to make; it must not exist yet")]
Overwrite = Annotated[bool, Field(description="replace the data set at --out")]
Seed = Annotated[int, Field(ge=0, description="seed of everything random")]

Scans = Annotated[
    Path,
    Field(description="a CT scan (.nii.gz, .nrrd, .mha), or a folder of them or of DICOM slices"),
]
NanAsAir = Annotated[
    bool, Field(description="take voxels that are NaN for air, as scans have outside their view")
]
SeriesArePatients = Annotated[
    bool,
    Field(description="DICOM: each series is another person, though they share a PatientID"),
]

Pattern = Annotated[str | None, AfterValidator(_compiles)]
PatientPattern = Annotated[
    Pattern,
    Metavar("REGEX"),
    Field(
        description="finds the patient in a file's place below --source, its first group or all of "
        "it; if not given, sub-… in the name (BIDS), PatientID (DICOM), or else each file is one"
    ),
]

Share = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Shares = Annotated[
    tuple[Share, Share, Share], Metavar("TRAIN VALIDATION TEST"), AfterValidator(_sum_to_one)
]


class PrepareSettings(BaseModel):
    """What a preparation is asked for: no other keys, and none that changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PhantomSettings(PrepareSettings):
    """What data set of phantoms to make; the same settings make the same one everywhere."""

    @property
    def total(self) -> int:
        """How many things there are in all splits together."""
        raise NotImplementedError


class Target(PrepareSettings):
    """Where a data set of phantoms is to be."""

    out: Out
    overwrite: Overwrite = False


def check_ascends(name: str, ends: tuple[float, float] | None) -> None:
    """Refuse a range from a larger value to a smaller one.

    Raises:
        ValueError: it is one.
    """
    if ends and not ends[0] < ends[1]:
        raise ValueError(f"{name} {ends[0]:g} {ends[1]:g}: the first must be the smaller")
