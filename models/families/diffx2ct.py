"""CT volumes from two X-rays by diffusion: a 3-D U-Net that sees the noise, patch by patch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from data.xray_ct.dataset import XrayCtSettings
from models.blocks.diffusion.noise import sample_timesteps
from models.blocks.diffusion.scale import Scale
from models.blocks.diffusion.schedule import NoiseSchedule
from models.blocks.encoder_weights import fitting_tensors, load_encoder
from models.blocks.images.volume_pictures import compare_volumes
from models.blocks.images.volumes import usual_voxel_size, volume_of, volume_scores
from models.blocks.xray_diffusion.evaluation import SampledEvaluation
from models.blocks.xray_diffusion.losses import PhasedLoss
from models.blocks.xray_diffusion.network.encoder import XrayEncoder
from models.blocks.xray_diffusion.network.model import XrayDiffusion
from models.blocks.xray_diffusion.network.output import Output
from models.blocks.xray_diffusion.network.segments import cut
from models.blocks.xray_diffusion.noising import Noising
from models.blocks.xray_diffusion.patches import SplitPatches, WholeCase, volumes_of
from models.blocks.xray_diffusion.sampled_program import SampledProgram
from models.blocks.xray_diffusion.settings import Diffx2ctSettings
from models.blocks.xray_diffusion.validation import noise_errors
from models.blocks.xray_diffusion.volume_sampler import VolumeSampler
from models.evaluation import Evaluation
from models.family import Batch, Direction, MapDataset, Split, Volume
from models.pictures import Picture
from models.pipelined import PipelinedFamily, Prepared, Segment
from models.program import XraysProgram
from protocol.errors import SettingsError


class Diffx2ct(PipelinedFamily[Diffx2ctSettings, XrayCtSettings]):
    """X-rays (B, 2, S, S) and a noisy patch (B, 1, p, p, p) → the noise in it; so, volumes.

    Inside, volumes are scaled to [−1, 1], or left in [0, 1]. Everything random about a sample
    derives from its own seed, so that training depends neither on the number of ranks nor on who
    shares a batch.

    Source: Ho et al., "Denoising diffusion probabilistic models" (2020), for the process and the
    loss; `models.blocks.xray_diffusion.network.model` for the network.
    """

    Settings = Diffx2ctSettings
    Data = XrayCtSettings
    metrics: ClassVar[Mapping[str, Direction]] = {"l1": "minimize", "mse": "minimize"}

    def __init__(self, settings: Diffx2ctSettings, data: XrayCtSettings) -> None:
        super().__init__(settings, data)
        self._epoch = 1

    @cached_property
    def schedule(self) -> NoiseSchedule:
        """The noise of training and sampling alike."""
        return NoiseSchedule(self.settings.schedule, self.settings.steps)

    @cached_property
    def noising(self) -> Noising:
        """What makes a batch's patches noisy."""
        return Noising(reading=self._reading)

    @cached_property
    def sampler(self) -> VolumeSampler:
        """What makes volumes of X-rays, by a trained model."""
        return VolumeSampler(settings=self.settings, data=self.data, reading=self._reading)

    def check(self) -> None:
        """Look into `encoder_weights_file`, and whether a patch fits into a volume.

        Raises:
            SettingsError: it does not, or the file cannot be read or is of another network.
        """
        settings = self.settings
        if settings.patch_size > self.data.ct_size:
            raise SettingsError(
                f"found {settings.patch_size}, expected at most data.ct_size, "
                f"which is {self.data.ct_size}; lower it, or raise data.ct_size",
                key="recipe.patch_size",
            )
        if settings.encoder_weights_file is not None:
            with torch.device("meta"):
                encoder = self._encoder()
            fitting_tensors(encoder.backbone, settings.encoder_weights_file)

    def dataset(self, split: Split) -> MapDataset:
        """The split's patches.

        Raises:
            DataError: a file is missing, damaged or of none of the layouts.
            SettingsError: a patch is larger than a volume.
        """
        return self._training if split == "train" else self._patches(split)

    def build_model(self) -> nn.Module:
        """The U-Net and its encoder, both with random weights."""
        settings = self.settings
        return XrayDiffusion(
            self._encoder(),
            channels=[settings.width * 2**level for level in range(settings.levels)],
            blocks=settings.residual_blocks,
            attention_levels=settings.attention_levels,
            heads=settings.attention_heads,
            head_channels=settings.head_channels,
            checkpointed=settings.activation_checkpointing,
        )

    def initialize(self, model: nn.Module) -> None:
        """Start the encoder from `encoder_weights_file`, and note the volumes' voxel size.

        Raises:
            SettingsError: the file cannot be read, or is of another network.
        """
        model.get_buffer("entry.voxel_size").copy_(usual_voxel_size(self._training))
        path = self.settings.encoder_weights_file
        if path is not None and isinstance(model, XrayDiffusion):
            load_encoder(model.encoder.backbone, path)

    def epoch_begins(self, epoch: int) -> None:
        """Choose the loss of epoch number `epoch`."""
        self._epoch = epoch

    def prepare(self, batch: Batch) -> Prepared:
        """Patches with the noise of time steps of their own added, and what to make of them."""
        seeds = batch["seed"]
        return self.noising.prepare(batch, seeds, sample_timesteps(seeds, self.settings.steps))

    def terms(self, output: Tensor, targets: dict[str, Tensor]) -> dict[str, Tensor]:
        """The weighted terms of the epoch's loss: `mse`, then `l1`, then `l1`, `ssim`, `fft`."""
        return self._loss.terms(self._epoch, output, targets)

    def segments(self, model: nn.Module, stages: int) -> Sequence[Segment]:
        """The model cut for `stages` devices, into 2·`stages` segments.

        Raises:
            SettingsError: the model has fewer levels than that.
        """
        if not isinstance(model, XrayDiffusion):
            raise TypeError(f"found a {type(model).__name__}, expected this family's model")
        return cut(model, stages)

    def evaluate(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """L1 and squared error of the noise of each patch, over levels of noise, each (B,).

        Volumes are sampled by `evaluation`, not here: that takes minutes for each.
        """
        return noise_errors(
            partial(self.noising.missed, model, batch),
            batch["seed"],
            self.schedule,
            self.settings.validation_timesteps,
        )

    def evaluation(self) -> Evaluation:
        """Sampled volumes beside their targets: error in HU, PSNR and SSIM."""
        return SampledEvaluation(self.sampler)

    def pictures(self, model: nn.Module, batch: Batch) -> list[Picture]:
        """The sampled volume of each sample's case beside its target, in three planes."""
        return [self._picture(model, case, batch) for case in volumes_of(self.data, batch)]

    def program(self, model: nn.Module) -> XraysProgram:
        """The sampler, which begins with the same noise every time."""
        return SampledProgram(model, self.sampler)

    def infer(self, model: nn.Module, xrays: Tensor) -> Volume:
        """One volume that may belong to two X-rays: the same every time for the same two.

        Its voxels are as large as the training's.

        Args:
            xrays: (2, H, W) in [0, 1], front view first, of any size, on the model's device.
        """
        return volume_of(self.program(model), xrays)

    @cached_property
    def _training(self) -> SplitPatches:
        """Opened once, as every file's header is looked at: for the voxel size and to train on."""
        return self._patches("train")

    def _patches(self, split: Split) -> SplitPatches:
        settings = self.settings
        return SplitPatches(
            self.data,
            split,
            settings.patch_size,
            patches_per_volume=settings.validation_patches,
        )

    @cached_property
    def _reading(self) -> Output:
        scale = Scale(self.settings.volume_range)
        return Output(kind=self.settings.output, schedule=self.schedule, scale=scale)

    @cached_property
    def _loss(self) -> PhasedLoss:
        settings = self.settings
        return PhasedLoss(
            reading=self._reading,
            mse_until=settings.mse_until,
            l1_until=settings.l1_until,
            weights=(settings.l1_weight, settings.ssim_weight, settings.fft_weight),
            fft_norm=settings.fft_norm,
        )

    def _encoder(self) -> XrayEncoder:
        settings = self.settings
        return XrayEncoder(settings.encoder, settings.token_features, settings.encoder_norm)

    def _picture(self, model: nn.Module, case: WholeCase, batch: Batch) -> Picture:
        sampled = self.sampler.sample(model, case.xrays.to(batch["xrays"]), case.seed)
        target, window = case.ct.to(sampled), self.data.hu_window
        (picture,) = compare_volumes(
            [case.name], target[None], {"Sampled": sampled[None]}, hu_window=window
        )
        return replace(picture, scores=volume_scores(sampled, target, window))
