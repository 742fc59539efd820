"""CT volumes from two X-rays by diffusion: a 3-D U-Net that sees the noise, patch by patch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor, nn

from data.xray_ct.dataset import XrayCtSettings
from data.xray_ct.images import resize_xrays
from models.blocks.diffusion.noise import gaussian_noise, sample_timesteps
from models.blocks.diffusion.schedule import NoiseSchedule
from models.blocks.images.volume_pictures import compare_volumes
from models.blocks.images.volumes import as_volume, usual_voxel_size
from models.blocks.xray_diffusion.blending import BlendKind, Windows
from models.blocks.xray_diffusion.evaluation import SampledEvaluation, volume_scores
from models.blocks.xray_diffusion.losses import PhasedLoss
from models.blocks.xray_diffusion.network.encoder import XrayEncoder
from models.blocks.xray_diffusion.network.model import XrayDiffusion
from models.blocks.xray_diffusion.network.output import Output
from models.blocks.xray_diffusion.network.segments import cut
from models.blocks.xray_diffusion.patches import SplitPatches, WholeCase, volumes_of
from models.blocks.xray_diffusion.sampler import sample_volume
from models.blocks.xray_diffusion.settings import Diffx2ctSettings
from models.blocks.xray_diffusion.validation import noise_errors
from models.evaluation import Evaluation, Volume
from models.family import Batch, Direction, MapDataset, Split
from models.pictures import Picture
from models.pipelined import PipelinedFamily, Prepared, Segment
from models.weights_file import fitting_tensors, load_encoder
from protocol.errors import SettingsError

INFERENCE_SEED = 0


class Diffx2ct(PipelinedFamily[Diffx2ctSettings, XrayCtSettings]):
    """X-rays (B, 2, S, S) and a noisy patch (B, 1, p, p, p) → the noise in it; so, volumes.

    Inside, volumes are scaled to [−1, 1]. Everything random about a sample derives from its own
    seed, so that training depends neither on the number of ranks nor on who shares a batch.

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
    def reading(self) -> Output:
        """How what the model gives is to be read."""
        return Output(kind=self.settings.output, schedule=self.schedule)

    def check(self) -> None:
        """Look into `encoder_weights_file`, and whether a patch fits into a volume.

        Raises:
            SettingsError: it does not, or the file cannot be read or is of another network.
        """
        settings = self.settings
        if settings.patch_size > self.data.ct_size:
            raise SettingsError(
                f"recipe.patch_size: found {settings.patch_size}, expected at most data.ct_size, "
                f"which is {self.data.ct_size}; lower it, or raise data.ct_size"
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
        return self._noised(batch, seeds, sample_timesteps(seeds, self.settings.steps))

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
            lambda seeds, timesteps: self._missed(model, batch, seeds, timesteps),
            batch["seed"],
            self.schedule,
            self.settings.validation_timesteps,
        )

    def evaluation(self) -> Evaluation:
        """Sampled volumes beside their targets: error in HU, PSNR and SSIM."""
        return SampledEvaluation(self)

    def pictures(self, model: nn.Module, batch: Batch) -> list[Picture]:
        """The sampled volume of each sample's case beside its target, in three planes."""
        return [self._picture(model, case, batch) for case in volumes_of(self.data, batch)]

    def infer(self, model: nn.Module, xrays: Tensor) -> Volume:
        """One volume that may belong to two X-rays: the same every time for the same two.

        Its voxels are as large as the training's.

        Args:
            xrays: (2, H, W) in [0, 1], front view first, of any size, on the model's device.
        """
        sampled = self.sample(model, resize_xrays(xrays, self.data.xray_size), INFERENCE_SEED)
        voxel_size = model.get_buffer("entry.voxel_size")
        return as_volume(sampled[None], self.data.hu_window, voxel_size)

    @torch.no_grad()
    def sample(
        self, model: nn.Module, xrays: Tensor, seed: int, blend: BlendKind | None = None
    ) -> Tensor:
        """A volume from noise.

        Args:
            model: in evaluation mode.
            xrays: (2, S, S) in [0, 1], front view first, on the model's device.
            seed: the same one gives the same volume.
            blend: how windows are blended, if not as in the recipe.

        Returns:
            (1, D, H, W) in [0, 1], the share of the window of Hounsfield units.
        """
        settings, device = self.settings, xrays.device
        extent = (self.data.ct_size,) * 3
        windows = Windows(
            extent,
            settings.patch_size,
            overlap=settings.overlap,
            blend=blend or settings.blend,
            at_once=settings.windows_at_once,
            device=device,
        )
        sizes = torch.tensor(extent, device=device)

        def denoise(noisy: Tensor, timesteps: Tensor, corners: Tensor) -> Tensor:
            count = len(noisy)
            views, whole = xrays.expand(count, -1, -1, -1), sizes.expand(count, -1)
            output = model(noisy, timesteps, views, corners, whole)
            return self.reading.epsilon(output, noisy, timesteps)

        volume = sample_volume(
            denoise,
            windows,
            extent,
            schedule=self.schedule,
            kind=settings.sampler,
            steps=settings.sampling_steps,
            seed=torch.tensor(seed, device=device),
        )
        return to_unit_range(volume)[None]

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
    def _loss(self) -> PhasedLoss:
        settings = self.settings
        return PhasedLoss(
            reading=self.reading,
            mse_until=settings.mse_until,
            l1_until=settings.l1_until,
            weights=(settings.l1_weight, settings.ssim_weight, settings.fft_weight),
        )

    def _encoder(self) -> XrayEncoder:
        settings = self.settings
        return XrayEncoder(settings.encoder, settings.token_features, settings.encoder_norm)

    def _picture(self, model: nn.Module, case: WholeCase, batch: Batch) -> Picture:
        sampled = self.sample(model, case.xrays.to(batch["xrays"]), case.seed)
        target, window = case.ct.to(sampled), self.data.hu_window
        (picture,) = compare_volumes(
            [case.name], target[None], {"Sampled": sampled[None]}, hu_window=window
        )
        return replace(picture, scores=volume_scores(sampled, target, window))

    def _missed(self, model: nn.Module, batch: Batch, seeds: Tensor, timesteps: Tensor) -> Tensor:
        """ε̂ − ε of patches with these seeds' noise, (B, 1, p, p, p)."""
        prepared = self._noised(batch, seeds, timesteps)
        epsilon = self.reading.epsilon(
            model(*prepared.inputs), prepared.targets["noisy"], timesteps
        )
        return epsilon - prepared.targets["noise"]

    def _noised(self, batch: Batch, seeds: Tensor, timesteps: Tensor) -> Prepared:
        clean = to_model_range(batch["ct"])
        noise = gaussian_noise(clean.shape, seeds)
        noisy = self.schedule.add_noise(clean, noise, timesteps)
        return Prepared(
            inputs=(noisy, timesteps, batch["xrays"], batch["corner"], batch["extent"]),
            targets={
                "target": self.reading.target(clean, noise, timesteps),
                "noise": noise,
                "noisy": noisy,
                "clean": clean,
                "timesteps": timesteps,
            },
        )


def to_model_range(volume: Tensor) -> Tensor:
    """[0, 1] to [−1, 1]."""
    return 2 * volume - 1


def to_unit_range(volume: Tensor) -> Tensor:
    """[−1, 1] to [0, 1]."""
    return (volume + 1) / 2
