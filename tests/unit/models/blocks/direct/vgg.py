"""A file of weights shaped as VGG16's first layers, with random numbers in it."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models.vgg import make_layers

from models.blocks.direct.perceptual import CONFIGURATION


def random_features(seed: int = 0) -> nn.Sequential:
    """torchvision's layers up to relu3_3."""
    torch.manual_seed(seed)
    return make_layers(CONFIGURATION).requires_grad_(False)


def write_vgg(path: Path, seed: int = 0, prefix: str = "features.") -> Path:
    """A .safetensors or .pth file of them, with a classifier that is not looked at."""
    tensors = {
        f"{prefix}{name}": value for name, value in random_features(seed).state_dict().items()
    }
    tensors["classifier.0.weight"] = torch.zeros(3, 3)
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save(tensors, path)
    return path
