"""Drawing a family's pictures as PNG files."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import nn
from torch.utils.data import default_collate

from models.family import Family, MapDataset
from models.pictures import Panel, Picture
from protocol.files import replacing
from worker.ranks.loading import SeededDataset, to_device
from worker.ranks.memory import out_of_memory
from worker.ranks.seeding import mix, reseed
from worker.ranks.trial import Trial, open_split
from worker.training.checkpoint import load_checkpoint
from worker.training.learner import Learner
from worker.training.teller import Teller

log = logging.getLogger(__name__)

PANEL_INCHES = 3.2
DPI = 120


def draw_best(trial: Trial, learner: Learner, teller: Teller) -> None:
    """Draw some validation samples with the best weights, which `learner` has from now on.

    Rank 0 draws, and the other stages of its copy of the model help. The trial is trained by now:
    where there is no memory for its pictures, it goes without them.
    """
    if trial.group.replicas.rank > 0 or trial.plan.pictures == 0:
        return
    learner.placement.load(learner.judged_model, load_checkpoint(trial.place.best)["model"])
    if trial.group.chain.ranks > 1:
        from worker.pipeline.judging import with_whole

        with_whole(trial, learner.judged_model, lambda model: _try_to_draw(trial, model, teller))
    else:
        _try_to_draw(trial, learner.judged_runner, teller)


def _try_to_draw(trial: Trial, model: nn.Module, teller: Teller) -> None:
    try:
        _draw_samples(trial, model, teller)
    except Exception as error:
        if not out_of_memory(error, limited=trial.plan.memory_gb is not None):
            raise
        log.warning("out of memory while drawing; the remaining pictures are left out: %s", error)


def _draw_samples(trial: Trial, model: nn.Module, teller: Teller) -> None:
    dataset = open_split(trial.family, "validation")
    trial.folder.pictures.mkdir(exist_ok=True)
    for index in evenly_spread(trial.plan.pictures, len(dataset)):
        for stem, picture in sample_pictures(
            trial.family, model, dataset, index, split="validation", seed=trial.plan.seed
        ):
            of_fold = f"fold{trial.fold}_" if trial.plan.folds > 1 else ""
            path = trial.folder.pictures / f"{of_fold}{stem}.png"
            draw(picture, path)
            teller.pictured(str(path.relative_to(trial.folder.path)))
        trial.tick()


def evenly_spread(count: int, total: int) -> list[int]:
    """At most `count` different indices below `total`, from the first to the last."""
    return sorted({round(index) for index in np.linspace(0, total - 1, min(count, total))})


@torch.no_grad()
def sample_pictures(
    family: Family[Any, Any],
    model: nn.Module,
    dataset: MapDataset,
    index: int,
    *,
    split: str,
    seed: int,
) -> list[tuple[str, Picture]]:
    """The family's pictures of one sample, each with a file stem of its own.

    One sample at a time, as a whole batch of volumes would not fit everywhere.
    """
    model.eval()
    device = next((tensor.device for tensor in model.parameters()), torch.device("cpu"))
    batch = to_device(default_collate([SeededDataset(dataset, seed)[0, index]]), device)
    reseed(mix(seed, "pictures", index))
    pictures = family.pictures(model, batch)
    stem = f"{split}_{index:04d}"
    if len(pictures) == 1:
        return [(stem, pictures[0])]
    return [(f"{stem}_{picture.name}", picture) for picture in pictures]


def draw(picture: Picture, path: Path) -> None:
    """Write a picture as a PNG: its panels, row by row, in its one window.

    Difference panels have a window of their own, symmetric about zero, and a colour bar.
    """
    columns = picture.per_row or len(picture.panels)
    rows = len(picture.panels) // columns
    firsts = [panel.image.shape for panel in picture.panels[::columns]]
    height = sum(PANEL_INCHES * shape[0] / shape[1] + 0.4 for shape in firsts) + 0.6
    # A Figure without pyplot keeps no global state and needs no display.
    figure = Figure(figsize=(PANEL_INCHES * columns + 0.4, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(picture.title, fontsize=10)
    places = figure.subplots(rows, columns, squeeze=False).flat
    for axes, panel in zip(places, picture.panels, strict=True):
        _draw_panel(figure, axes, panel, picture.window)
    with replacing(path) as stream:
        figure.savefig(stream, format="png")


def _draw_panel(figure: Figure, axes: Any, panel: Panel, window: Sequence[float]) -> None:
    axes.set_title(panel.title, fontsize=9)
    axes.set_axis_off()
    if not panel.difference:
        low, high = window if panel.window is None else panel.window
        axes.imshow(panel.image, cmap="gray", vmin=low, vmax=high)
        _draw_outlines(axes, panel)
        return
    finite = np.abs(panel.image[np.isfinite(panel.image)])
    # A few outliers must not wash out the rest; an all-zero difference still needs a range.
    limit = float(np.percentile(finite, 99.5)) if finite.size else 0.0
    limit = limit or 1e-6
    shown = axes.imshow(panel.image, cmap="RdBu_r", vmin=-limit, vmax=limit)
    figure.colorbar(shown, ax=axes, shrink=0.8, extend="both").ax.tick_params(labelsize=7)


def _draw_outlines(axes: Any, panel: Panel) -> None:
    for colour, mask in panel.outlines.items():
        if mask.any():
            # With a margin, so that an outline at the image's edge is closed.
            padded = np.pad(mask.astype(np.float32), 1)
            rows, columns = (np.arange(extent) - 1 for extent in padded.shape)
            axes.contour(columns, rows, padded, levels=[0.5], colors=[colour], linewidths=0.9)
    height, width = panel.image.shape
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
