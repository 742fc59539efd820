"""The diffx2ct family at a size where a step takes milliseconds, on phantoms of 16 voxels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch.utils.data import default_collate

from data.xray_ct.dataset import XrayCtSettings
from models.blocks.xray_diffusion.network.encoder import XrayEncoder
from models.blocks.xray_diffusion.network.model import XrayDiffusion
from models.blocks.xray_diffusion.settings import Diffx2ctSettings
from models.families.diffx2ct import Diffx2ct
from models.family import Batch, Split

SMALL = {
    "patch_size": 8,
    "encoder": "small",
    "token_features": 16,
    "width": 8,
    "levels": 2,
    "residual_blocks": 1,
    "attention_levels": [1],
    "attention_heads": 2,
    "head_channels": 8,
    "validation_patches": 2,
    "sampling_steps": 2,
    "overlap": 0.0,
    "windows_at_once": 8,
}
PHANTOMS = {"size": 16, "xray_size": 16, "train": 3, "validation": 2, "test": 2, "seed": 3}


def small_data(folder: Path, **changes: Any) -> XrayCtSettings:
    """Phantoms in `folder`, made by whoever asks first."""
    given = {"root": folder / "phantoms", "ct_size": 16, "xray_size": 16, "generate": PHANTOMS}
    return XrayCtSettings.model_validate(given | changes)


def small_family(folder: Path, **recipe: Any) -> Diffx2ct:
    """The family with a small net on small phantoms."""
    return Diffx2ct(Diffx2ctSettings.model_validate(SMALL | recipe), small_data(folder))


def batch_of(family: Diffx2ct, split: Split, *indices: int) -> Batch:
    """These samples, drawn alike every time."""
    torch.manual_seed(5)
    samples = family.dataset(split)
    return default_collate([samples[index] for index in indices])


def awake(model: torch.nn.Module) -> torch.nn.Module:
    """With random numbers where layers start at zero, so that nothing is hidden by them."""
    generator = torch.Generator().manual_seed(1)
    for weight in model.parameters():
        if not weight.any():
            with torch.no_grad():
                weight.copy_(0.1 * torch.randn(weight.shape, generator=generator))
    return model


def small_model(*, levels: int = 4, checkpointed: bool = False) -> XrayDiffusion:
    """A net of any number of levels, awake."""
    torch.manual_seed(0)
    model = XrayDiffusion(
        XrayEncoder("small", 16),
        channels=[4 * 2**level for level in range(levels)],
        blocks=1,
        attention_levels=range(1, levels),
        heads=2,
        head_channels=4,
        checkpointed=checkpointed,
    )
    awake(model)
    return model


def small_inputs(size: int = 16) -> tuple[torch.Tensor, ...]:
    """Two samples of a model's inputs."""
    torch.manual_seed(2)
    return (
        torch.randn(2, 1, size, size, size),
        torch.tensor([10, 900]),
        torch.rand(2, 2, 32, 32),
        torch.tensor([[0, 4, 8], [16, 0, 2]]),
        torch.full((2, 3), 32),
    )
