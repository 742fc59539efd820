"""A checkpoint, opened to be judged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from models.family import Family
from protocol.errors import CheckpointError, SettingsError
from protocol.files import sha256_of
from protocol.folders import parent_of
from protocol.recipe import FILE_KEY, Recipe, TrainingRecipe
from worker.machine.threads import give_way
from worker.ranks.trial import open_family
from worker.training.checkpoint import load_checkpoint
from worker.training.pictures import caption_of

_LOOKS = 5  # at a checkpoint that a running trial replaces meanwhile


@dataclass(frozen=True, kw_only=True)
class OpenedCheckpoint:
    """What a checkpoint holds, as far as judging goes."""

    family: Family[Any, Any]
    model: nn.Module  # on its device, in evaluation mode
    device: torch.device
    sha256: str  # of the file
    epoch: int
    seed: int
    study: str  # empty, and no trial, where somebody else wrote the file
    trial: int | None
    training: TrainingRecipe

    def caption(self, split: str) -> str:
        """What a picture of it is of."""
        return caption_of(self.study, self.trial, split, self.epoch)


def open_checkpoint(path: Path, device: str, data_root: str | None = None) -> OpenedCheckpoint:
    """The model of a `best`, `last` or epoch file, on `device`.

    Args:
        data_root: where the data lie now, in place of `data.root` as it was in training.

    Raises:
        CheckpointError: the file is missing, damaged or not of a trial.
        SettingsError: there is no such device, or the family is gone or has other keys.
    """
    content, sha256 = _whole(path)
    missing = {"model", "family", "recipe", "data", "seed", "epoch"} - content.keys()
    if missing:
        raise CheckpointError(f"{path} is not of a trial: it has no {min(missing)!r}")
    place = _device(device)
    data = content["data"] | ({} if data_root is None else {"root": data_root})
    parent = parent_of(path, content["recipe"])
    moved = {} if parent is None else {FILE_KEY: str(parent)}
    recipe = Recipe.of(content["recipe"] | moved)
    give_way(always=False)  # in these words, by which once is once a process
    family = open_family(_where_it_is_now(content["family"], path), recipe.own, data)
    model = family.build_model()
    model.load_state_dict(content["model"])
    return OpenedCheckpoint(
        family=family,
        model=model.to(place).eval(),
        device=place,
        sha256=sha256,
        epoch=content["epoch"],
        seed=content["seed"],
        study=content.get("study", ""),
        trial=content.get("trial"),
        training=_as_fitted(recipe.training, content.get("micro_batch")),
    )


def _as_fitted(recipe: TrainingRecipe, fitted: int | None) -> TrainingRecipe:
    """The recipe, with the batches that fitted into memory where its own did not."""
    return recipe if fitted is None else recipe.model_copy(update={"batch_size": fitted})


def _where_it_is_now(family: str, checkpoint: Path) -> str:
    """A user's own family whose file has gone is taken from beside the checkpoint if it is there.

    That is where an export puts it.
    """
    path, colon, class_name = family.rpartition(":")
    beside = checkpoint.absolute().parent / Path(path).name
    if colon and not Path(path).exists() and beside.is_file():
        return f"{beside}:{class_name}"
    return family


def _whole(path: Path) -> tuple[dict[str, Any], str]:
    """The content and the digest of one and the same file."""
    for _ in range(_LOOKS):
        before = _sha256(path)
        content = load_checkpoint(path)
        if before == _sha256(path):
            return content, before
    raise CheckpointError(f"{path} is replaced all the time; wait until its trial has ended")


def _sha256(path: Path) -> str:
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path}")
    return sha256_of(path, fresh=False)


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise SettingsError(f"{name!r} cannot be used: {reason}", key="--device") from error
    return device
