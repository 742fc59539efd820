"""Tiny pairs of X-rays and CT volumes, and a direct64 for them that has learned nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from data.xray_ct.settings import XrayCtSettings
from models.families.direct64 import Direct64, Direct64Settings
from worker.training.checkpoint import save_checkpoint

COARSE, FINE, XRAY = 8, 32, 32
RECIPE = {"width": 4, "volume_width": 4, "lift": "rays"}


def data_section(folder: Path, **changes: Any) -> dict[str, Any]:
    """The `data:` section of the small volumes, made in `folder` when first read."""
    generate = {"size": 16, "xray_size": XRAY, "train": 3, "validation": 2, "test": 1}
    section = {
        "root": str(folder / "chests"),
        "cache_folder": str(folder / "cache"),
        "ct_size": COARSE,
        "xray_size": XRAY,
        "generate": generate,
    }
    return section | changes


def write_parent(path: Path, folder: Path, **content: Any) -> Path:
    """A checkpoint as a direct64 trial leaves it, with the training's keys in its recipe."""
    data = data_section(folder)
    torch.manual_seed(1)
    family = Direct64(Direct64Settings.model_validate(RECIPE), XrayCtSettings.model_validate(data))
    model = family.build_model()
    saved = {
        "model": model.state_dict(),
        "epoch": 1,
        "family": "direct64",
        "recipe": RECIPE | {"epochs": 3, "learning_rate": 1e-3},
        "data": data,
    }
    save_checkpoint(path, saved | content)
    return path
