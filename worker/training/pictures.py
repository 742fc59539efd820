"""Drawing a family's pictures as PNG files."""

from __future__ import annotations

import logging
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.colors import to_hex
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import nn
from torch.utils.data import default_collate

from models.family import Family, MapDataset
from models.panels import keep_panels
from models.pictures import Panel, Picture
from worker.machine.memory import out_of_memory
from worker.ranks.loading import SeededDataset, to_device
from worker.ranks.seeding import mix, reseed
from worker.ranks.trial import Trial, open_split
from worker.training.chart import Scale
from worker.training.checkpoint import load_checkpoint
from worker.training.learner import Learner
from worker.training.raster import lettering, write_png
from worker.training.teller import Teller

log = logging.getLogger(__name__)

_WRITERS = 8  # files that are waited for at a time: the disk takes them together
PANEL = 360  # pixels of a panel's width
GAP = 12
BAR, BAR_ROOM = 14, 90  # the width of a colour bar, and that of it with its values
TITLE, HEADING, SMALL = 17, 15, 12  # heights of letters
OUTLINE = 2
SEEN = 3  # times as large as it is from which on a pixel is seen
NEAREST, HAMMING = Image.Resampling.NEAREST, Image.Resampling.HAMMING

Pixels = NDArray[np.float32]
Levels = NDArray[np.uint8]


def draw_best(trial: Trial, learner: Learner, teller: Teller) -> None:
    """Draw some validation samples with the best weights, which `learner` has from now on.

    Rank 0 draws, and the other stages of its copy of the model help. The trial is trained by now:
    where there is no memory for its pictures, it goes without them.
    """
    if trial.group.replicas.rank > 0 or trial.plan.pictures == 0:
        return
    progress = learner.progress
    epoch = progress.best_epoch
    if epoch != progress.epoch - 1:  # else they are what training ended with
        learner.placement.load(learner.judged_model, load_checkpoint(trial.place.best)["model"])
    if trial.group.chain.ranks > 1:
        from worker.pipeline.judging import with_whole

        with_whole(
            trial, learner.judged_model, lambda model: _try_to_draw(trial, model, epoch, teller)
        )
    else:
        _try_to_draw(trial, learner.judged_runner, epoch, teller)


def _try_to_draw(trial: Trial, model: nn.Module, epoch: int, teller: Teller) -> None:
    try:
        _draw_samples(trial, model, epoch, teller)
    except Exception as error:
        if not out_of_memory(error, limited=trial.plan.memory_gb is not None):
            raise
        log.warning("out of memory while drawing; the remaining pictures are left out: %s", error)


def _draw_samples(trial: Trial, model: nn.Module, epoch: int, teller: Teller) -> None:
    dataset, plan = open_split(trial.family, "validation"), trial.plan
    caption = caption_of(plan.study, plan.trial, "validation", epoch)
    trial.folder.pictures.mkdir(exist_ok=True)
    with ThreadPoolExecutor(_WRITERS, "pictures") as pool:
        writing = _Writing(trial, teller)
        for index in evenly_spread(plan.pictures, len(dataset)):
            for stem, picture in sample_pictures(
                trial.family, model, dataset, index, split="validation", seed=plan.seed
            ):
                stem = f"fold{trial.fold}_{stem}" if plan.folds > 1 else stem
                path = trial.folder.pictures / f"{stem}.png"
                image = drawn(picture, caption)
                kept = pool.submit(keep_panels, trial.folder.panels, stem, picture, epoch)
                writing.add(path, [kept, pool.submit(write_png, image, path)])
            trial.tick()
        writing.finish()


class _Writing:
    """Pictures whose files are on their way to the disk: what waits for that is not the drawing."""

    def __init__(self, trial: Trial, teller: Teller) -> None:
        self._trial, self._teller = trial, teller
        self._waiting: deque[tuple[Path, list[Future[Any]]]] = deque()

    def add(self, path: Path, files: list[Future[Any]]) -> None:
        self._waiting.append((path, files))
        while self._waiting and all(file.done() for file in self._waiting[0][1]):
            self._tell_first()

    def finish(self) -> None:
        """Wait for all of them."""
        while self._waiting:
            self._tell_first()

    def _tell_first(self) -> None:
        path, files = self._waiting.popleft()
        for file in files:
            file.result()
        self._teller.pictured(str(path.relative_to(self._trial.folder.path)))


def caption_of(study: str, trial: int | None, split: str, epoch: int) -> str:
    """What a picture is of, wherever it is shown."""
    whose = f"{study}, trial {trial}, " if study else ""
    return f"{whose}{split} split, epoch {epoch}"


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


def draw(picture: Picture, path: Path, caption: str = "") -> None:
    """Write a picture as a PNG, as `drawn`."""
    write_png(drawn(picture, caption), path)


def drawn(picture: Picture, caption: str = "") -> Image.Image:
    """A picture's panels, row by row, in its one window, below its titles.

    Difference panels have a window of their own, symmetric about zero, and a colour bar.
    """
    columns = picture.per_row or len(picture.panels)
    rows = [picture.panels[at : at + columns] for at in range(0, len(picture.panels), columns)]
    titles = [max(panel.title.count("\n") + 1 for panel in row) for row in rows]
    tiles = [
        [_tile(panel, picture.window, title) for panel in row]
        for row, title in zip(rows, titles, strict=True)
    ]
    widths = [max(row[column].width for row in tiles) + GAP for column in range(columns)]
    heights = [max(tile.height for tile in row) + GAP for row in tiles]
    words = "\n".join(filter(None, (caption, picture.title)))
    head = _text_size(words, TITLE)
    width = max(sum(widths) + GAP, head[0] + 2 * GAP)
    image = Image.new("RGB", (width, head[1] + sum(heights) + 2 * GAP), "white")
    _centred(image, words, width / 2, GAP, TITLE)
    top = head[1] + 2 * GAP
    for row, height in zip(tiles, heights, strict=True):
        left = (width - sum(widths) + GAP) // 2
        for tile, room in zip(row, widths, strict=True):
            image.paste(tile, (left, top))
            left += room
        top += height
    return image


def _tile(panel: Panel, window: tuple[float, float], title_lines: int) -> Image.Image:
    """A panel below as many lines of title as its row has."""
    rows, columns = panel.image.shape
    size = (PANEL, max(1, round(PANEL * rows / columns)))
    if panel.difference:
        finite = np.abs(panel.image[np.isfinite(panel.image)])
        # A few outliers must not wash out the rest; an all-zero difference still needs a range.
        limit = float(np.percentile(finite, 99.5)) if finite.size else 0.0
        limit = limit or 1e-6
        shown = Image.fromarray(_levels(panel.image, (-limit, limit), size))
        shown.putpalette(_diverging().tobytes())  # many times as fast as looking colours up
        shown = shown.convert("RGB")
    else:
        shown = Image.fromarray(_levels(panel.image, panel.window or window, size)).convert("RGB")
    _draw_outlines(ImageDraw.Draw(shown), panel)
    head = _text_size("\n" * (title_lines - 1), HEADING)[1] + GAP // 2
    across = PANEL + (BAR_ROOM if panel.difference else 0)
    tile = Image.new("RGB", (across, head + size[1]), "white")
    tile.paste(shown, (0, head))
    _centred(tile, panel.title, PANEL / 2, 0, HEADING)
    if panel.difference:
        _draw_bar(tile, head + size[1] // 10, head + size[1] - size[1] // 10, limit)
    return tile


def _levels(image: Pixels, window: tuple[float, float], size: tuple[int, int]) -> Levels:
    """From 0 at the window's bottom to 255 at its top, resampled to (width, height).

    What is no number is as bright as the paper, or without a difference.
    """
    low, high = window
    levels = np.clip((image.astype(np.float32) - low) / ((high - low) or 1.0), 0.0, 1.0)
    levels = np.where(np.isnan(levels), 0.5 if low == -high else 1.0, levels)
    enlarged = size[0] / image.shape[1]
    # Pixels that are seen keep their edges.
    if enlarged >= SEEN or enlarged.is_integer():
        return np.asarray(Image.fromarray(_in_bytes(levels)).resize(size, NEAREST))
    return _in_bytes(np.asarray(Image.fromarray(levels.astype(np.float32)).resize(size, HAMMING)))


def _in_bytes(levels: NDArray[np.floating]) -> Levels:
    found: Levels = (255 * np.clip(levels, 0.0, 1.0) + 0.5).astype(np.uint8)
    return found


@cache
def _diverging() -> Levels:
    """Blue over white to red: (256, 3)."""
    colours: Levels = (255 * colormaps["RdBu_r"](np.arange(256))[:, :3] + 0.5).astype(np.uint8)
    return colours


def _draw_bar(tile: Image.Image, top: int, bottom: int, limit: float) -> None:
    """A bar of the differences' colours, pointed because a few lie beyond, with values."""
    left, right, tip = PANEL + GAP, PANEL + GAP + BAR, BAR // 2
    draw = ImageDraw.Draw(tile)
    bar = np.linspace(255, 0, max(1, bottom - top)).round().astype(np.uint8)
    tile.paste(Image.fromarray(np.repeat(_diverging()[bar][:, None], BAR, axis=1)), (left, top))
    middle = (left + right) / 2
    for level, base, point in ((255, top - 1, top - tip), (0, bottom, bottom + tip)):
        colour = tuple(_diverging()[level].tolist())
        draw.polygon([(left, base), (right - 1, base), (middle, point)], colour)
    for value, label in Scale(-limit, limit).ticks():
        height = bottom - value * (bottom - top)
        draw.line([(right, height), (right + 3, height)], "black")
        draw.text((right + 6, height), label, "black", lettering(SMALL), anchor="lm")


def _draw_outlines(draw: ImageDraw.ImageDraw, panel: Panel) -> None:
    """Lines between the pixels of a mask and the others, closed at the image's edge."""
    rows, columns = panel.image.shape
    down, across = round(PANEL * rows / columns) / rows, PANEL / columns
    for name, mask in panel.outlines.items():
        colour = to_hex(name)
        padded = np.pad(mask.astype(np.int8), 1)
        for row, column in np.argwhere(np.diff(padded[:, 1:-1], axis=0)):
            y = min(row * down, rows * down - 1)
            draw.line([(column * across, y), ((column + 1) * across, y)], colour, OUTLINE)
        for row, column in np.argwhere(np.diff(padded[1:-1], axis=1)):
            x = min(column * across, PANEL - 1)
            draw.line([(x, row * down), (x, (row + 1) * down)], colour, OUTLINE)


def _text_size(words: str, size: int) -> tuple[int, int]:
    lines = words.split("\n")
    longest = max(lettering(size).getlength(line) for line in lines)
    return round(longest), round(1.25 * size * len(lines))


def _centred(image: Image.Image, words: str, middle: float, top: float, size: int) -> None:
    draw = ImageDraw.Draw(image)
    for number, line in enumerate(words.split("\n")):
        height = top + 1.25 * size * number
        draw.text((middle, height), line, "black", lettering(size), anchor="mt")
