"""A trained model outside its trial: loaded, judged and shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from models.family import Family, Split
from orchestrator.errors import CheckpointError, SettingsError
from orchestrator.recipe import TrainingRecipe, split_recipe
from orchestrator.worker.batches import Sharing, validation_rounds
from orchestrator.worker.checkpoint import load_checkpoint
from orchestrator.worker.group import Group
from orchestrator.worker.loading import BatchLoader
from orchestrator.worker.pictures import draw, evenly_spread, sample_pictures
from orchestrator.worker.trial import open_family, open_split
from orchestrator.worker.validate import Validator


def load_model(
    checkpoint: str | Path, *, device: str = "cpu", data_root: str | None = None
) -> tuple[Family[Any, Any], nn.Module]:
    """The family and the trained model, ready for inference, of a `best`, `last` or epoch file.

    Args:
        data_root: where the data lie now, in place of `data.root` as it was in training.

    Raises:
        CheckpointError: the file is missing, damaged or not of a trial.
        SettingsError: its family is no longer there, or has other keys.
    """
    return _open(_content(checkpoint), device, data_root)


def evaluate(
    checkpoint: str | Path,
    split: Split = "test",
    *,
    samples: list[int] | None = None,
    device: str = "cpu",
    data_root: str | None = None,
) -> dict[str, float]:
    """The mean of every metric over the split, or over some of its samples.

    Raises:
        CheckpointError, SettingsError, DataError: as from `load_model` and the data set.
    """
    content = _content(checkpoint)
    family, model = _open(content, device, data_root)
    return _evaluate(content, family, model, split, samples)


def visualize(
    checkpoint: str,
    out_dir: str,
    split: Split,
    samples: list[int] | int,
    device: str,
    data_root: str | None = None,
) -> dict[str, Any]:
    """Draw samples of a split, and judge them.

    Args:
        samples: these ones; or how many, evenly spread, and then the whole split is judged.

    Returns:
        {"pictures": [path], "metrics": {name: mean}}.

    Raises:
        CheckpointError, SettingsError, DataError: as from `load_model` and the data set.
    """
    content = _content(checkpoint)
    family, model = _open(content, device, data_root)
    dataset = open_split(family, split)
    chosen = evenly_spread(samples, len(dataset)) if isinstance(samples, int) else samples
    _check_range(chosen, len(dataset), split)
    folder = Path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for index in chosen:
        for stem, picture in sample_pictures(
            family, model, dataset, index, split=split, seed=content["seed"]
        ):
            path = folder / f"{stem}.png"
            draw(picture, path)
            paths.append(str(path))
    judged = None if isinstance(samples, int) else chosen
    return {"pictures": paths, "metrics": _evaluate(content, family, model, split, judged)}


def _content(checkpoint: str | Path) -> dict[str, Any]:
    content = load_checkpoint(Path(checkpoint))
    missing = {"model", "family", "recipe", "data", "seed"} - content.keys()
    if missing:
        raise CheckpointError(f"{checkpoint} is not of a trial: it has no {min(missing)!r}")
    return content | {"family": _where_it_is_now(content["family"], Path(checkpoint))}


def _where_it_is_now(family: str, checkpoint: Path) -> str:
    """A user's own family whose file has gone is taken from beside the checkpoint if it is there.

    That is where an export puts it.
    """
    path, colon, class_name = family.rpartition(":")
    beside = checkpoint.absolute().parent / Path(path).name
    if colon and not Path(path).exists() and beside.is_file():
        return f"{beside}:{class_name}"
    return family


def _open(
    content: dict[str, Any], device: str, data_root: str | None
) -> tuple[Family[Any, Any], nn.Module]:
    data = content["data"] | ({} if data_root is None else {"root": data_root})
    family = open_family(content["family"], content["recipe"], data)
    model = family.build_model()
    model.load_state_dict(content["model"])
    return family, model.to(device).eval()


def _evaluate(
    content: dict[str, Any],
    family: Family[Any, Any],
    model: nn.Module,
    split: Split,
    samples: list[int] | None,
) -> dict[str, float]:
    dataset = open_split(family, split)
    device = next((tensor.device for tensor in model.parameters()), torch.device("cpu"))
    group = Group(rank=0, ranks=1, device=device)
    loader = BatchLoader(dataset, seed=content["seed"], workers=0, device=device)
    training = TrainingRecipe.model_validate(split_recipe(content["recipe"])[0])
    sharing = Sharing(rank=0, ranks=1, batch_size=training.batch_size, accumulation=1)
    chosen = list(range(len(dataset))) if samples is None else samples
    rounds = [
        tuple(chosen[position] for position in positions)
        for positions in validation_rounds(len(chosen), sharing)
    ]
    return Validator(family, group, loader, rounds, content["seed"]).metrics(model)


def _check_range(samples: list[int], total: int, split: str) -> None:
    if not samples:
        raise SettingsError(f"samples: found none, expected some of the {split} split's {total}")
    beyond = [index for index in samples if not 0 <= index < total]
    if beyond:
        raise SettingsError(
            f"samples: found {beyond[0]}, expected 0 to {total - 1} in the {split} split"
        )
