"""What an anomaly evaluation can be asked for, and what may be tuned of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from models.blocks.anomaly.evaluation.postprocess import Filtering, published_erosion
from models.blocks.anomaly.evaluation.threshold import Rule
from models.blocks.recipe_keys import ListedInText

PUBLISHED_MEDIAN_SIZE = 5
PUBLISHED_LARGEST_DROPPED = 7


Timesteps = Annotated[tuple[int, ...], ListedInText, Field(min_length=1)]


class Parameters(BaseModel):
    """The evaluation's parameters; everything but the time steps as published by default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    timesteps: Timesteps
    erosion: int = Field(ge=0, description="in-plane erosions of the brain mask")
    median_size: int = PUBLISHED_MEDIAN_SIZE
    rule: Rule = "global_dice"
    percentile: float = Field(99.0, ge=0, le=100, description="of rule `healthy_percentile`")
    largest_dropped: int = Field(
        PUBLISHED_LARGEST_DROPPED, ge=0, description="voxels of the largest component dropped"
    )

    @property
    def filtering(self) -> Filtering:
        return Filtering(erosion=self.erosion, median_size=self.median_size)


def published(timesteps: Sequence[int], width: int) -> Parameters:
    """The published protocol on slices of `width` pixels."""
    return Parameters(timesteps=tuple(timesteps), erosion=published_erosion(width))


def spelled(timesteps: Sequence[int]) -> str:
    """Time steps as one word: 250-500-750."""
    return "-".join(map(str, timesteps))


def tuning_space(candidates: Sequence[Sequence[int]], width: int) -> dict[str, dict[str, Any]]:
    """What may be tuned, spelled as in a study's `search:`.

    Args:
        candidates: the sets of time steps to choose from.
        width: of the slices, in pixels.
    """
    return {
        "timesteps": {"choices": [spelled(timesteps) for timesteps in candidates]},
        "erosion": {"low": 0, "high": max(2, 2 * published_erosion(width))},
        "median_size": {"choices": [3, 5, 7]},
        "rule": {"choices": ["global_dice", "mean_dice", "healthy_percentile"]},
        "percentile": {
            "low": 90.0,
            "high": 99.9,
            "step": 0.1,
            "when": {"rule": "healthy_percentile"},
        },
        "largest_dropped": {"low": 1, "high": 100, "log": True},
    }


def tuning_defaults(parameters: Parameters) -> dict[str, Any]:
    """The parameters as a point of the tuning space."""
    values = parameters.model_dump(exclude={"percentile"})
    return {**values, "timesteps": spelled(parameters.timesteps)}
