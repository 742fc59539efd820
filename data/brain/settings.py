"""The keys of the `data:` section for brain MRI."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from data.brain.layout import Mode
from data.brain.prepare.settings import BrainPhantomSettings
from data.caches.places import CachePlace
from protocol.recipe import FREE

Lengths = tuple[PositiveInt, PositiveInt, PositiveInt]
Percent = Annotated[float, Field(ge=0, le=100)]


class BrainSettings(BaseModel):
    """The keys of the `data:` section for data in the brain-MRI layout.

    Lengths are in the order rows, columns, slices: a slice is axial and upright, its row 0
    anterior and its column 0 the patient's right; slice 0 is the lowest.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    root: Path = Field(description="the folder that holds Data/")
    fold: int = Field(0, ge=0, description="which of the training and validation folds")
    mode: Mode = Field("t2", description="which contrast to read, t1 or t2")
    lesions: tuple[str, ...] | None = Field(
        None, description="the sets of volumes with lesions, such as [Brats21]; all that are there"
    )
    crop: Lengths = Field(
        (192, 192, 100), description="voxels around the volume's middle: rows, columns, slices"
    )
    size: Lengths = Field(
        (96, 96, 50), description="what the crop is reduced to: rows, columns, slices"
    )
    percentiles: tuple[Percent, Percent] = Field(
        (1.0, 99.0), description="intensities inside the mask that become 0 and 1"
    )
    curvature_flow: NonNegativeInt = Field(
        0,
        description="iterations of curvature flow, time step 0.125, that smooth a volume as it is "
        "read; cDDPM and pDDPM were published with 3",
    )
    augment: Literal["none", "intensity"] = Field(
        "none",
        description="what slices to train on go through: `intensity` is cDDPM's published gamma, "
        "bias field, blur and ghosting, each by chance and of the whole volume",
    )
    smallest_brain: float = Field(
        0.01, ge=0, lt=1, description="slices with a smaller share of brain are left out"
    )
    validation_slices: PositiveInt | None = Field(
        None, description="of each volume to validate on, evenly spread; all if not given"
    )
    allow_overlap: bool = Field(
        False, description="go on, with a warning, when splits share subjects"
    )
    cache_folder: CachePlace = None
    cache_gb: Annotated[PositiveFloat, FREE] = Field(
        20.0,
        description="the most that preprocessed volumes may take there, in GB; those not used for "
        "the longest time make room",
    )
    generate: BrainPhantomSettings | None = Field(
        None, description="make a data set of phantoms here if `root` does not exist yet"
    )

    @model_validator(mode="after")
    def _percentiles_ascend(self) -> Self:
        if not self.percentiles[0] < self.percentiles[1]:
            raise ValueError(
                f"percentiles {list(self.percentiles)}: the first must be the smaller, as in "
                "[1, 99]"
            )
        return self
