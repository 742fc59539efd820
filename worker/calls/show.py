"""A trained model outside its trial: loaded, judged and shown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from torch import nn

from models.family import Family, Split
from models.pictures import Picture
from protocol.errors import SettingsError
from worker.calls.opened import OpenedCheckpoint, open_checkpoint
from worker.ranks.batches import Sharing, validation_rounds
from worker.ranks.group import Group
from worker.ranks.loading import BatchLoader
from worker.ranks.trial import open_split
from worker.ranks.validate import Validator
from worker.training.pictures import draw, evenly_spread, sample_pictures


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
    opened = open_checkpoint(Path(checkpoint), device, data_root)
    return opened.family, opened.model


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
    return _evaluate(open_checkpoint(Path(checkpoint), device, data_root), split, samples)


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
        {"pictures": [path], "metrics": {name: mean}, "shown": {name: mean}}, the latter of the
        pictures' own scores.

    Raises:
        CheckpointError, SettingsError, DataError: as from `load_model` and the data set.
    """
    opened = open_checkpoint(Path(checkpoint), device, data_root)
    dataset = open_split(opened.family, split)
    chosen = evenly_spread(samples, len(dataset)) if isinstance(samples, int) else samples
    _check_range(chosen, len(dataset), split)
    folder = Path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    paths, pictures = [], []
    for index in chosen:
        for stem, picture in sample_pictures(
            opened.family, opened.model, dataset, index, split=split, seed=opened.seed
        ):
            path = folder / f"{stem}.png"
            draw(picture, path, opened.caption(split))
            paths.append(str(path))
            pictures.append(picture)
    judged = None if isinstance(samples, int) else chosen
    return {
        "pictures": paths,
        "metrics": _evaluate(opened, split, judged),
        "shown": mean_scores(pictures),
    }


def mean_scores(pictures: Sequence[Picture]) -> dict[str, float]:
    """The mean of every score over the pictures that have it."""
    names = dict.fromkeys(name for picture in pictures for name in picture.scores)
    return {
        name: fmean(picture.scores[name] for picture in pictures if name in picture.scores)
        for name in names
    }


def _evaluate(
    opened: OpenedCheckpoint, split: Split, samples: list[int] | None
) -> dict[str, float]:
    dataset = open_split(opened.family, split)
    group = Group(rank=0, ranks=1, device=opened.device)
    loader = BatchLoader(dataset, seed=opened.seed, workers=0, device=opened.device)
    sharing = Sharing(rank=0, ranks=1, batch_size=opened.training.batch_size, accumulation=1)
    chosen = list(range(len(dataset))) if samples is None else samples
    rounds = [
        tuple(chosen[position] for position in positions)
        for positions in validation_rounds(len(chosen), sharing)
    ]
    return Validator(opened.family, group, loader, rounds, opened.seed).metrics(opened.model)


def _check_range(samples: list[int], total: int, split: str) -> None:
    if not samples:
        raise SettingsError(f"samples: found none, expected some of the {split} split's {total}")
    beyond = [index for index in samples if not 0 <= index < total]
    if beyond:
        raise SettingsError(
            f"samples: found {beyond[0]}, expected 0 to {total - 1} in the {split} split"
        )
