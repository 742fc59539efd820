"""A trained model of another study that a family's trials start from.

A checkpoint names its parent by path and digest; where a copy has moved together with its child,
whoever opens the child gives the new path, so that this is the only place that reads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from pydantic import BaseModel
from torch import nn

from models.registry import load_family
from protocol.errors import SettingsError
from protocol.files import sha256_of

KEY = "recipe.parent_file"
NEEDED = ("family", "recipe", "data", "model")


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A frozen model, in evaluation mode."""

    path: Path
    sha256: str  # of its file
    model: nn.Module
    data: Any  # the family's data settings, as it was trained on or as they were given


def load_trained(
    path: Path | None, sha256: str | None, family: str, *, otherwise: str, data: Any = None
) -> Trained:
    """The model of a checkpoint.

    Args:
        path: a `best`, `last` or epoch file of a trial of `family`; None is refused.
        sha256: of the file, if it is to be that very one.
        family: the name of the only family whose model will do.
        otherwise: what to do without a parent, for the sentence.
        data: settings to build the model by, in place of those that it was trained on.

    Raises:
        SettingsError: there is no file, it is another one than it was, cannot be read, or is not
            of a trial of that family.
    """
    if path is None:
        raise SettingsError(
            f"found none, expected the checkpoint of a {family} trial; add "
            f"`parent: {{study: NAME, trial: best}}` to the study, or {otherwise}",
            key=KEY,
        )
    found = _digest(path, family)
    if sha256 is not None and found != sha256.lower():
        raise SettingsError(
            f"{path} has the SHA-256 {found[:12]}…, expected "
            f"{sha256[:12]}…; put the file back that the study began with, or begin a new study",
            key="recipe.parent_sha256",
        )
    content = _content(path, family)
    family_class = load_family(family)
    # A recipe is flat, with the training's keys in it; what the family reads are its own.
    recipe = {k: v for k, v in content["recipe"].items() if k in family_class.Settings.model_fields}
    try:
        if not isinstance(data, BaseModel):
            data = family_class.Data.model_validate(content["data"])
        model = family_class(family_class.Settings.model_validate(recipe), data).build_model()
        model.load_state_dict(content["model"])
    except (ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise SettingsError(
            f"{path} is of another version of {family} or of other data ({reason}); train it anew",
            key=KEY,
        ) from error
    return Trained(path=path, sha256=found, model=model.requires_grad_(False).eval(), data=data)


def _digest(path: Path, family: str) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be read ({error.strerror or error}); expected the checkpoint of "
            f"a {family} trial, as `parent: {{study: NAME, trial: best}}` finds it",
            key=KEY,
        ) from error


def _content(path: Path, family: str) -> dict[str, Any]:
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
    if content["family"] != family:
        raise SettingsError(
            f"{path} is of the family {content['family']!r}, expected {family!r}; name a "
            f"trial of a {family} study",
            key=KEY,
        )
    return content
