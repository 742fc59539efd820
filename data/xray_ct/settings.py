"""The keys of the `data:` section for pairs of X-rays and CT volumes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from data.caches.places import CachePlace
from data.prepare.fields import Pattern, PhantomSettings, Seed, Shares
from protocol.recipe import FREE

LayoutName = Literal["diffx2ct", "nifti_png", "x2ct_gan"]
Side = Annotated[int, Field(ge=4)]

# Of pairs that are made.
PairLayout = Annotated[
    LayoutName,
    Field(
        description="`diffx2ct`: torch tensors; `nifti_png`: NIfTI volumes and PNG views, a folder "
        "a case; `x2ct_gan`: an HDF5 file a case"
    ),
]
PairEdge = Annotated[int, Field(ge=8, description="voxels of a volume's edge")]
PairXraySize = Annotated[int, Field(ge=8, description="rows and columns of an X-ray")]


class XrayCtSettings(BaseModel):
    """The keys of the `data:` section for data in one of the X-ray/CT layouts.

    Volumes are (D, H, W): from head to feet, from front to back, from the patient's right to the
    left. The front view is (D, W), the lateral one (D, H).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    root: Path = Field(description="the folder that holds the cases")
    layout: LayoutName | Literal["auto"] = Field(
        "auto", description="how cases lie in `root`; auto looks which it is"
    )
    ct_size: Side = Field(description="voxels of each edge that volumes are resampled to")
    xray_size: Side = Field(description="rows and columns that X-rays are resampled to")
    hu_window: tuple[float, float] = Field(
        (-1024.0, 1500.0), description="the Hounsfield units that become 0 and 1"
    )
    flip: bool = Field(False, description="mirror left and right at random in training")
    fractions: Shares = Field(
        (0.8, 0.1, 0.1),
        description="shares of patients to train, validate and test on, where there is no "
        "splits.csv",
    )
    patient_pattern: Pattern = Field(
        None,
        description="a regular expression whose first group, or else whole match, is the patient "
        "in a case's name; if not given, LIDC-IDRI-0001 and the like, else the whole name",
    )
    allow_overlap: bool = Field(
        False, description="go on, with a warning, when splits share patients"
    )
    ct_axes: str | None = Field(
        None,
        description="where the axes of stored volumes lead to, by the letters R/L, A/P, S/I: IPL, "
        "from head to feet, front to back, right to left, is assumed; NIfTI files say it "
        "themselves",
    )
    xray_turn: Literal[0, 90, 180, 270] = Field(
        0, description="degrees that stored X-rays must be turned by, clockwise, to be upright"
    )
    xray_invert: bool = Field(
        False, description="stored X-rays are dark where the body absorbs, as films may be"
    )
    voxel_size: tuple[PositiveFloat, PositiveFloat, PositiveFloat] | None = Field(
        None,
        description="mm between slices, rows and columns of stored volumes; 1 where neither this "
        "nor the data set says it",
    )
    cache_folder: CachePlace = None
    cache_gb: Annotated[float, FREE, Field(ge=0, allow_inf_nan=False)] = Field(
        100.0,
        description="the most that resampled volumes may take there, in GB; those not used for "
        "the longest time make room; 0 keeps none",
    )
    generate: XrayCtPhantomSettings | None = Field(
        None, description="make a data set of phantoms here if `root` does not exist yet"
    )

    @model_validator(mode="after")
    def _window_ascends(self) -> Self:
        low, high = self.hu_window
        if not low < high:
            raise ValueError(f"hu_window: found [{low:g}, {high:g}], expected the smaller first")
        return self

    @field_validator("ct_axes")
    @classmethod
    def _axes_are_three(cls, letters: str | None) -> str | None:
        if letters is None:
            return None
        pairs = sorted(
            "".join(p for p in ("RL", "AP", "SI") if one in p) for one in letters.upper()
        )
        if pairs != ["AP", "RL", "SI"]:
            raise ValueError(
                f"ct_axes: found {letters!r}, expected one letter of each of R/L, A/P and S/I in "
                "the order of the stored axes, such as IPL or SPL"
            )
        return letters.upper()


class XrayCtPhantomSettings(PhantomSettings):
    """What data set of chests to make; the same settings make the same pairs everywhere."""

    layout: PairLayout = "diffx2ct"
    size: PairEdge = 32
    xray_size: PairXraySize = 32
    train: PositiveInt = Field(24, description="pairs to train on, each of another patient")
    validation: PositiveInt = Field(6, description="pairs to validate on")
    test: PositiveInt = Field(6, description="pairs to test on")
    seed: Seed = 0

    @property
    def total(self) -> int:
        """The number of pairs of all splits."""
        return self.train + self.validation + self.test
