"""How the diffusion families train and reconstruct: noise is added once and removed once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn

from data.brain.dataset import BrainSettings, BrainSlices
from models.blocks.anomaly.denoiser import GuidedDenoiser
from models.blocks.anomaly.denoising_settings import DenoisingSettings
from models.blocks.anomaly.encoder import make_encoder
from models.blocks.anomaly.family import SEED, AnomalyFamily
from models.blocks.anomaly.slice_picture import slice_picture
from models.blocks.diffusion.hashing import derived
from models.blocks.diffusion.noise import sample_noise, sample_timesteps
from models.blocks.diffusion.scale import to_model_range, to_unit_range
from models.blocks.diffusion.schedule import NoiseSchedule
from models.blocks.diffusion.unet import DiffusionUNet
from models.blocks.encoder_weights import fitting_tensors, load_encoder
from models.blocks.images import metrics
from models.family import Batch, Direction, MapDataset, Split
from models.pictures import Picture
from models.program import BrainProgram

P = TypeVar("P", bound=DenoisingSettings)


class DenoisingFamily(AnomalyFamily[P], Generic[P]):
    """A U-Net that learns to undo one addition of noise to healthy slices, in a single step.

    Inside, slices are scaled to [−1, 1]. A family that corrupts slices in another way overrides
    `training_pair` and `restore`, which take everything random from the samples' own seeds, so
    that training depends neither on the number of ranks nor on who shares a batch.
    """

    Data = BrainSettings
    metrics: ClassVar[Mapping[str, Direction]] = {
        "l1": "minimize",
        "psnr": "maximize",
        "ssim": "maximize",
    }

    @property
    def timesteps(self) -> tuple[int, ...]:
        """A quarter, half and three quarters of the steps as an ensemble, or the one asked for."""
        steps = self.settings.steps
        if self.settings.ensemble:
            return (steps // 4, steps // 2, 3 * steps // 4)
        return (self.settings.test_timestep,)

    @property
    def candidate_timesteps(self) -> tuple[tuple[int, ...], ...]:
        """From a fifth to three quarters of the steps, alone or in threes."""
        steps = self.settings.steps
        alone = [steps // 5, steps // 4, 3 * steps // 8, steps // 2, 5 * steps // 8, 3 * steps // 4]
        together = (alone[1], alone[3], alone[5]), (alone[2], alone[3], alone[4])
        return tuple(dict.fromkeys([self.timesteps, *((step,) for step in alone), *together]))

    @property
    def validation_timesteps(self) -> tuple[int, ...]:
        """Where epochs and trials are compared, whatever time steps are meant for the test."""
        return (self.settings.steps // 2,)

    @cached_property
    def schedule(self) -> NoiseSchedule:
        return NoiseSchedule(self.settings.schedule, self.settings.steps)

    def dataset(self, split: Split) -> MapDataset:
        """The split's healthy slices.

        Raises:
            DataError: a file is missing, damaged or not of the brain-MRI layout.
        """
        return BrainSlices(self.data, split)

    def check(self) -> None:
        """Look into `encoder_weights_file`, if there is one.

        Raises:
            SettingsError: the file cannot be read, or is of another network.
        """
        with torch.device("meta"):
            encoder = self._encoder()
        path = self.settings.encoder_weights_file
        if path is not None and encoder is not None:
            fitting_tensors(encoder, path)

    def build_model(self) -> nn.Module:
        """The U-Net and its encoder, both with random weights."""
        settings = self.settings
        encoder = self._encoder()
        unet = DiffusionUNet(
            width=settings.width,
            multipliers=settings.channel_multipliers,
            blocks=settings.residual_blocks,
            attention_levels=settings.attention_levels,
            dropout=settings.dropout,
            condition=None if encoder is None else settings.condition_features,
        )
        return GuidedDenoiser(unet, encoder)

    def initialize(self, model: nn.Module) -> None:
        """Start the encoder from `encoder_weights_file`, if there is one.

        Raises:
            SettingsError: the file cannot be read, or is of another network.
        """
        path = self.settings.encoder_weights_file
        if path is not None and isinstance(model, GuidedDenoiser) and model.encoder is not None:
            load_encoder(model.encoder, path)

    def _encoder(self) -> nn.Module | None:
        settings = self.settings
        return make_encoder(
            settings.encoder, settings.condition_features, norm=settings.encoder_norm
        )

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """The error of what the U-Net predicts, in [−1, 1], weighted by time step; by its name."""
        seeds = batch["seed"]
        timesteps = sample_timesteps(seeds, self.settings.steps)
        prediction, target = self.training_pair(
            model, batch["image"], batch["mask"], seeds, timesteps
        )
        difference = prediction.float() - target
        error = difference.abs() if self.settings.loss == "l1" else difference.square()
        weights = self.schedule.p2_weights(timesteps, self.settings.p2_gamma)
        return {self.settings.loss: (weights * error).mean()}

    def training_pair(
        self, model: nn.Module, image: Tensor, mask: Tensor, seeds: Tensor, timesteps: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What the model predicts for corrupted slices, and what it should have predicted.

        Args:
            image: (B, 1, H, W) in [0, 1].
            mask: (B, 1, H, W), 1 inside the brain.
            seeds: (B,) int64, from which the noise derives.
            timesteps: (B,) int64.

        Returns:
            Two (B, 1, H, W): of slices in [−1, 1], or of noise, as `prediction` has it.
        """
        clean, noise = to_model_range(image), self.noise(image, seeds)
        noisy = self.schedule.add_noise(clean, noise, timesteps)
        target = clean if self.settings.prediction == "x0" else noise
        return model(noisy, timesteps, image), target

    def reconstruct(
        self,
        model: nn.Module,
        image: Tensor,
        mask: Tensor,
        seeds: Tensor,
        timesteps: Sequence[int],
    ) -> Tensor:
        """The mean of the one-step reconstructions from `timesteps`, see `AnomalyFamily`."""
        # Another noise at each time step, or the ensemble would share its errors.
        noises = (self.noise(image, derived(seeds, timestep)) for timestep in timesteps)
        return self.restored_mean(model, image, noises, timesteps)

    def restored_mean(
        self, model: nn.Module, image: Tensor, noises: Iterable[Tensor], timesteps: Sequence[int]
    ) -> Tensor:
        """The mean over `timesteps` of slices restored from the noise of each; (B, 1, H, W)."""
        results = []
        for timestep, noise in zip(timesteps, noises, strict=True):
            same = torch.full(image.shape[:1], timestep, device=image.device)
            restored = self.restore(model, image, noise, same)
            results.append(to_unit_range(restored.float()).clamp(0, 1))
        return torch.stack(results).mean(dim=0)

    def restore(self, model: nn.Module, image: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """x̂0 of noised slices in one step, in [−1, 1] but not clamped; (B, 1, H, W).

        Args:
            image, timesteps: as in `training_pair`.
            noise: (B, 1, H, W).
        """
        noisy = self.schedule.add_noise(to_model_range(image), noise, timesteps)
        return self.clean_estimate(model(noisy, timesteps, image), noisy, timesteps)

    def program(self, model: nn.Module) -> BrainProgram:
        """The reconstruction from the test's time steps, of the same noise every time."""
        return DenoisingProgram(self, model)

    def clean_estimate(self, prediction: Tensor, noisy: Tensor, timesteps: Tensor) -> Tensor:
        """x̂0 from what the model predicts, be it x0 itself or the noise; (B, 1, H, W)."""
        if self.settings.prediction == "x0":
            return prediction
        return self.schedule.x0_from_epsilon(noisy, prediction, timesteps)

    def noise(self, image: Tensor, seeds: Tensor) -> Tensor:
        """Each slice's own noise, of the image's shape."""
        settings = self.settings
        return sample_noise(
            settings.noise,
            image.shape,
            seeds,
            device=image.device,
            octaves=settings.noise_octaves,
            persistence=settings.noise_persistence,
            frequency=settings.noise_frequency,
            std=settings.noise_std,
        )

    def evaluate(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """L1 inside the brain, PSNR and SSIM of the reconstruction from half-way, each (B,)."""
        image, mask = batch["image"], batch["mask"]
        result = self.reconstruct(model, image, mask, batch["seed"], self.validation_timesteps)
        return {
            "l1": masked_l1(result, image, mask),
            "psnr": metrics.psnr(result, image),
            "ssim": metrics.ssim(result, image),
        }

    def pictures(self, model: nn.Module, batch: Batch) -> list[Picture]:
        """Original, reconstruction and what is left, inside the brain, at the test's time steps."""
        image, mask = batch["image"], batch["mask"]
        result = self.reconstruct(model, image, mask, batch["seed"], self.timesteps)
        samples = zip(batch["index"], image, result, mask, strict=True)
        return [
            slice_picture(int(index), original, shown, inside, self.timesteps)
            for index, original, shown, inside in samples
        ]


class DenoisingProgram(BrainProgram):
    """A family's reconstruction of noise that is kept: one for each time step, for all slices."""

    noises: Tensor  # (T, 1, H, W)

    def __init__(self, family: DenoisingFamily[Any], model: nn.Module) -> None:
        height, width = family.data.size[:2]
        super().__init__(height, width)
        self.model = model
        self._family, self._timesteps = family, family.timesteps
        device = next((weight.device for weight in model.parameters()), torch.device("cpu"))
        image, seed = torch.empty(1, 1, height, width), torch.tensor([SEED])
        noises = [family.noise(image, derived(seed, step)) for step in self._timesteps]
        self.register_buffer("noises", torch.cat(noises).to(device), persistent=False)

    def forward(self, slices: Tensor, mask: Tensor) -> tuple[Tensor]:
        """Two (B, 1, H, W) → (B, 1, H, W); the mask is what other families may need."""
        noises = (noise.expand_as(slices) for noise in self.noises.unbind())
        return (self._family.restored_mean(self.model, slices, noises, self._timesteps),)


def masked_l1(result: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute error per pixel inside the mask, of a slice without any over the whole; (B,).

    Args:
        result, target, mask: (B, 1, H, W).
    """
    empty = mask.sum(dim=(1, 2, 3), keepdim=True) == 0
    inside = torch.where(empty, torch.ones_like(mask), mask)
    error = (result - target).abs() * inside
    return error.sum(dim=(1, 2, 3)) / inside.sum(dim=(1, 2, 3))
