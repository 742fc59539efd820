"""pDDPM and mDDPM: brain slices restored box by box, each from the healthy anatomy around it."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Literal

import torch
from pydantic import Field, NonNegativeInt, PositiveInt, ValidationInfo, field_validator
from torch import Tensor, nn

from models.blocks.anomaly.denoising import DenoisingFamily
from models.blocks.anomaly.denoising_settings import DenoisingSettings
from models.blocks.anomaly.encoder import SliceEncoderKind
from models.blocks.diffusion.boxes import (
    box_grid,
    boxes_anywhere,
    boxes_of_grid,
    inside,
    stitched,
)
from models.blocks.diffusion.frequency_masks import FrequencyMasks, Places, mask_frequencies
from models.blocks.diffusion.scale import to_model_range
from models.family import MapDataset, Split
from protocol.errors import SettingsError

SLICES_AT_ONCE = 64  # through the U-Net when boxes are stitched: what bounds its memory


class Ddpm2dPatchedSettings(DenoisingSettings):
    """The recipe keys of `ddpm2d_patched`; published values stand in the preset."""

    encoder: SliceEncoderKind = Field(
        "none", description="what sums the slice up to guide its reconstruction; `none` published"
    )
    box_size: PositiveInt = Field(48, description="pixels a side of the box that gets noise")
    box_overlap: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="what neighbouring boxes of the grid share at least, as a fraction of a box",
    )
    boxes: Literal["grid", "random"] = Field(
        "grid",
        description="where training puts its box: on the grid of reconstruction, or anywhere",
    )
    masking: Literal["none", "frequency"] = Field(
        "none",
        description="`frequency` also low- or high-passes patches of the training input (mDDPM)",
    )
    masked_patches: NonNegativeInt = Field(
        5, description="patches of a slice that are low- or high-passed, at most"
    )
    masked_places: Places = Field(
        "anywhere",
        description="of those patches: `anywhere` in the brain's box, each side by that of the "
        "box; `published`: off its rim, both sides by the brain's rows",
    )
    masked_band_low: PositiveInt = Field(
        2, description="smallest v; the box of frequencies that is kept or removed is 2v wide"
    )
    masked_band_high: PositiveInt = Field(10, description="largest v", validate_default=True)

    @field_validator("masked_band_high")
    @classmethod
    def _bands_ascend(cls, high: int, others: ValidationInfo) -> int:
        low = others.data.get("masked_band_low", high)
        if high < low:
            raise ValueError(f"{low} or more, the value of masked_band_low")
        return high


class Ddpm2dPatched(DenoisingFamily[Ddpm2dPatchedSettings]):
    """Brain slice (B, 1, H, W) → its healthy reconstruction (B, 1, H, W), both in [0, 1].

    Noise is added inside one box of the slice; the model sees the clean rest. To reconstruct, all
    boxes of a covering grid are restored so and put together.

    Sources: Behrendt et al., "Patched diffusion models for unsupervised anomaly detection in
    brain MRI" (2023); with `masking: frequency` Iqbal et al., "Unsupervised anomaly detection in
    medical images using masked diffusion model" (2023).
    """

    Settings = Ddpm2dPatchedSettings

    def dataset(self, split: Split) -> MapDataset:
        """The split's healthy slices.

        Raises:
            DataError: a file is missing, damaged or not of the brain-MRI layout.
            SettingsError: the box is larger than a slice.
        """
        side, smallest = self.settings.box_size, min(self.data.size[:2])
        if side > smallest:
            raise SettingsError(
                f"box_size: found {side}, expected at most {smallest}, the shorter side of the "
                "slices; lower it in `recipe:` or `search:`, or raise data.size"
            )
        return super().dataset(split)

    @cached_property
    def masks(self) -> FrequencyMasks:
        """What mDDPM does to the training input."""
        settings = self.settings
        return FrequencyMasks(
            lowest_band=settings.masked_band_low,
            highest_band=settings.masked_band_high,
            patches=settings.masked_patches,
            places=settings.masked_places,
        )

    def grid(self, height: int, width: int) -> Tensor:
        """The boxes that a slice is put together from, (N, 2) int64."""
        size = self.settings.box_size
        overlap = min(math.floor(self.settings.box_overlap * size), size - 1)
        return box_grid(height, width, size, overlap)

    def training_pair(
        self, model: nn.Module, image: Tensor, mask: Tensor, seeds: Tensor, timesteps: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What the model predicts inside a box for each slice, the truth outside; and the truth.

        The loss is thereby averaged over the slice, as published. See `DenoisingFamily`.
        """
        clean, noise = to_model_range(image), self.noise(image, seeds)
        given = image
        if self.settings.masking == "frequency":
            given = mask_frequencies(image, mask, seeds, self.masks)
        box = self._training_boxes(seeds, *image.shape[-2:])
        noisy = self._noised(given, noise, timesteps, box)
        target = clean if self.settings.prediction == "x0" else noise
        prediction = model(noisy, timesteps, given)
        return torch.where(box, prediction.float(), target), target

    def restore(self, model: nn.Module, image: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """x̂0 of every box of the grid, put together, overlaps averaged; see `DenoisingFamily`."""
        height, width = image.shape[-2:]
        grid = self.grid(height, width).to(image.device)
        boxes = inside(grid, self.settings.box_size, height, width)
        # Box after box for a large batch, all boxes at once for a small one.
        exporting = torch.compiler.is_exporting()  # for batches of any size
        some = len(boxes) if exporting else max(1, SLICES_AT_ONCE // len(image))
        parts = boxes.split(some)
        restored = [self._restore_boxes(model, image, noise, timesteps, part) for part in parts]
        return stitched(torch.cat(restored), boxes)

    def _restore_boxes(
        self, model: nn.Module, image: Tensor, noise: Tensor, timesteps: Tensor, boxes: Tensor
    ) -> Tensor:
        """x̂0 where one box after the other has noise: (N, B, 1, H, W) for boxes (N, H, W)."""
        number, batch = len(boxes), image.shape[0]
        images, noises = (item.repeat(number, 1, 1, 1) for item in (image, noise))
        steps = timesteps.repeat(number)
        box = boxes[:, None].expand(-1, batch, -1, -1).reshape(-1, 1, *boxes.shape[1:])
        noisy = self._noised(images, noises, steps, box)
        estimate = self.clean_estimate(model(noisy, steps, images), noisy, steps)
        return estimate.float().unflatten(0, (number, batch))

    def _training_boxes(self, seeds: Tensor, height: int, width: int) -> Tensor:
        """Each slice's box, (B, 1, H, W) bool."""
        size = self.settings.box_size
        if self.settings.boxes == "grid":
            corners = boxes_of_grid(seeds, self.grid(height, width))
        else:
            corners = boxes_anywhere(seeds, height, width, size)
        return inside(corners, size, height, width)[:, None]

    def _noised(self, image: Tensor, noise: Tensor, timesteps: Tensor, box: Tensor) -> Tensor:
        """The slices in [−1, 1], noised inside their boxes."""
        clean = to_model_range(image)
        return torch.where(box, self.schedule.add_noise(clean, noise, timesteps), clean)
