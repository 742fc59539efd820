"""Having a checkpoint show cases for the gallery, where its trial kept none of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models.family import Split
from models.panels import keep_panels
from protocol.errors import SettingsError
from worker.calls.opened import open_checkpoint
from worker.ranks.trial import open_split
from worker.training.pictures import sample_pictures


def panels(
    *, checkpoint: str, out: str, split: Split, indices: list[int], prefix: str, device: str
) -> dict[str, Any]:
    """Have a model show samples of a split, and keep what it shows.

    Args:
        out: the folder of panels.
        prefix: of the file's name, as a fold's.

    Returns:
        {"panels": [path]}: a sample may have several pictures.

    Raises:
        CheckpointError, SettingsError, DataError: one of them is at fault.
    """
    opened = open_checkpoint(Path(checkpoint), device)
    dataset = open_split(opened.family, split)
    paths, folder = [], Path(out)
    for index in indices:
        if not 0 <= index < len(dataset):
            there = f"0 to {len(dataset) - 1} in the {split} split"
            raise SettingsError(f"found {index}, expected {there}", key="--case")
        for stem, picture in sample_pictures(
            opened.family, opened.model, dataset, index, split=split, seed=opened.seed
        ):
            paths.append(str(keep_panels(folder, f"{prefix}{stem}", picture, opened.epoch)))
    return {"panels": paths}
