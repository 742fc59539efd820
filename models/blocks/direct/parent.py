"""The trained model that another family's trials start from: a frozen direct64.

A checkpoint names its parent by path and digest; where a copy has moved together with its child,
whoever opens the child gives the new path, so that this is the only place that reads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from data.xray_ct.settings import XrayCtSettings
from models.registry import load_family
from protocol.errors import SettingsError
from protocol.files import sha256_of

FAMILY = "direct64"
KEY = "recipe.parent_file"
NEEDED = ("family", "recipe", "data", "model")

Array = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Parent:
    """A frozen model, in evaluation mode."""

    path: Path
    sha256: str  # of its file
    model: nn.Module
    data: XrayCtSettings  # as it was trained on

    def compute(self, xrays: Array) -> Array:
        """Its volumes on the CPU: (B, 2, S, S) → (B, 1, n, n, n) in [0, 1]."""
        volumes: Array = self.volumes(torch.from_numpy(xrays)).numpy()
        return volumes

    @torch.no_grad()
    def volumes(self, xrays: Tensor) -> Tensor:
        """Its volumes on the device of `xrays`: (B, 2, S, S) → (B, 1, n, n, n) in [0, 1]."""
        self.model.to(xrays.device)
        # One at a time, so that a volume does not depend on what is computed beside it.
        made = [self.model(one[None])[-1].float().clamp(0, 1) for one in xrays]
        return torch.cat(made)


def load_parent(path: Path, sha256: str | None) -> Parent:
    """The direct64 of a checkpoint.

    Args:
        path: a `best`, `last` or epoch file of a direct64 trial.
        sha256: of the file, if it is to be that very one.

    Raises:
        SettingsError: the file is not there, is another one than it was, cannot be read, or is
            not of a direct64 trial.
    """
    found = _digest(path)
    if sha256 is not None and found != sha256.lower():
        raise SettingsError(
            f"{path} has the SHA-256 {found[:12]}…, expected "
            f"{sha256[:12]}…; put the file back that the study began with, or begin a new study",
            key="recipe.parent_sha256",
        )
    content = _content(path)
    family_class = load_family(FAMILY)
    # A recipe is flat, with the training's keys in it; what the family reads are its own.
    recipe = {k: v for k, v in content["recipe"].items() if k in family_class.Settings.model_fields}
    try:
        data = XrayCtSettings.model_validate(content["data"])
        family = family_class(family_class.Settings.model_validate(recipe), data)
        model = family.build_model()
        model.load_state_dict(content["model"])
    except (ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise SettingsError(
            f"{path} is of another version of {FAMILY} ({reason}); train it anew", key=KEY
        ) from error
    return Parent(path=path, sha256=found, model=model.requires_grad_(False).eval(), data=data)


def _digest(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be read ({error.strerror or error}); expected the checkpoint of "
            f"a {FAMILY} trial, as `parent: {{study: NAME, trial: best}}` finds it",
            key=KEY,
        ) from error


def _content(path: Path) -> dict[str, Any]:
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, UnpicklingError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise SettingsError(
            f"{path} is damaged or no checkpoint ({reason}); copy it again", key=KEY
        ) from error
    content = saved.get("content") if isinstance(saved, dict) else None
    if not isinstance(content, dict) or any(key not in content for key in NEEDED):
        raise SettingsError(f"{path} is no checkpoint of a trial; name a best.pth", key=KEY)
    if content["family"] != FAMILY:
        raise SettingsError(
            f"{path} is of the family {content['family']!r}, expected {FAMILY!r}; name a "
            f"trial of a {FAMILY} study",
            key=KEY,
        )
    return content
