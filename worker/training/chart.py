"""Curves over epochs, one plot above the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from worker.training.raster import lettering

WIDTH, HEIGHT = 600, 520  # pixels
LEFT, RIGHT, TOP, BOTTOM = 76, 588, 8, 472  # the plots with their headings
FINE = 2  # pixels of a line's drawing that become one, so that it is smooth
LINE, DOT, HIGHLIGHT = 2, 3, 4  # widths and radii
TEXT = 13
DOTTED = 100  # epochs up to which each has a dot
DECADES = 1.5  # between the smallest and the largest value from which an axis is logarithmic
LARGEST = 1e300  # beyond, a value is not drawn: axes could not be calculated
GRID, FRAME, MARK = "#dddddd", "#000000", "#d62728"

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One line of a plot."""

    label: str
    colour: str
    values: Sequence[float]  # one an epoch; what is not finite is a gap


@dataclass(frozen=True, kw_only=True)
class Plot:
    """Curves that share an axis."""

    title: str
    curves: Sequence[Curve]
    marked: tuple[int, str] | None = None  # the index of a value of the first curve, and its label


def draw_chart(epochs: Sequence[int], plots: Sequence[Plot]) -> Image.Image:
    """An image of `plots`, one above the other over the same `epochs`."""
    image = Image.new("RGB", (FINE * WIDTH, FINE * HEIGHT), "white")
    across = Scale.of([float(epoch) for epoch in epochs], whole=True)
    height = (BOTTOM - TOP) // len(plots)
    frames = [_Frame(plot, TOP + row * height, height, across) for row, plot in enumerate(plots)]
    for frame in frames:
        frame.draw_lines(ImageDraw.Draw(image), epochs)
    image = image.reduce(FINE)
    draw = ImageDraw.Draw(image)
    for frame in frames:
        frame.draw_words(draw)
    for tick, label in across.ticks():
        place = LEFT + tick * (RIGHT - LEFT)
        draw.text((place, BOTTOM + 8), label, "black", lettering(TEXT), anchor="mt")
    middle = (LEFT + RIGHT) / 2
    draw.text((middle, BOTTOM + 30), "epoch", "black", lettering(TEXT), anchor="mt")
    return image


@dataclass(frozen=True)
class Scale:
    """Where values stand on an axis, from 0 to 1."""

    low: float  # of the values, or of their logarithms
    high: float
    logarithmic: bool = False
    whole: bool = False  # ticks stand at whole numbers alone

    @classmethod
    def of(cls, values: Sequence[float], *, whole: bool = False) -> Scale:
        """Of values with some room; logarithmic where positive ones span decades."""
        known = [value for value in values if abs(value) < LARGEST]
        low, high = min(known, default=0.0), max(known, default=1.0)
        logarithmic = not whole and low > 0 and math.log10(high / low) > DECADES
        if logarithmic:
            low, high = math.log10(low), math.log10(high)
        room = 0.05 * (high - low) or 0.05 * abs(low) or 0.5
        room = max(room, 0.5) if whole else room
        return cls(low - room, high + room, logarithmic, whole)

    def place(self, values: Sequence[float]) -> Floats:
        """Of each value; NaN where the axis has no place for it."""
        there = np.array([value if abs(value) < LARGEST else math.nan for value in values])
        if self.logarithmic:
            with np.errstate(divide="ignore", invalid="ignore"):
                there = np.log10(there)
        placed: Floats = (there - self.low) / (self.high - self.low)
        return placed

    def ticks(self) -> list[tuple[float, str]]:
        """Places and labels of round values."""
        if self.logarithmic:
            span = self.high - self.low
            digits = (1, 2, 5) if span < 3 else (1,)
            stride = math.ceil(span / 8)
            decades = range(math.floor(self.low), math.ceil(self.high), stride)
            values = [digit * 10.0**decade for decade in decades for digit in digits]
            figures = 3
        else:
            locator = MaxNLocator(
                nbins=7, steps=[1, 2, 2.5, 5, 10], integer=self.whole, min_n_ticks=1
            )
            values = [float(value) for value in locator.tick_values(self.low, self.high)]
            step = values[1] - values[0]
            figures = math.ceil(math.log10(max(map(abs, values)) / step)) + 2
        places = self.place(values)
        return [
            (float(place), f"{value:.{figures}g}")
            for place, value in zip(places, values, strict=True)
            if 0 <= place <= 1
        ]


class _Frame:
    """One plot in its place."""

    def __init__(self, plot: Plot, top: int, height: int, across: Scale) -> None:
        self._plot = plot
        self._heading = _flow(plot, top)
        self._top = self._heading[-1][1] + TEXT + 6
        self._bottom = top + height - 10
        self._across = across
        self._up = Scale.of([value for curve in plot.curves for value in curve.values])

    def draw_lines(self, draw: ImageDraw.ImageDraw, epochs: Sequence[int]) -> None:
        for tick, _ in self._across.ticks():
            self._line(draw, np.array([[tick, 0.0], [tick, 1.0]]), GRID, 1)
        for tick, _ in self._up.ticks():
            self._line(draw, np.array([[0.0, tick], [1.0, tick]]), GRID, 1)
        corners = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
        self._line(draw, corners, FRAME, 1)
        places = self._across.place([float(epoch) for epoch in epochs])
        for curve in self._plot.curves:
            points = np.stack([places, self._up.place(curve.values)], axis=1)
            known = np.isfinite(points[:, 1])
            for run in np.split(points, np.flatnonzero(~known)):
                self._line(draw, run[np.isfinite(run[:, 1])], curve.colour, LINE)
            if len(points) <= DOTTED:
                for point in points[known]:
                    self._dot(draw, point, curve.colour, DOT)
        if self._plot.marked is not None:
            index = self._plot.marked[0]
            value = self._up.place([self._plot.curves[0].values[index]])[0]
            if math.isfinite(value):
                self._dot(draw, np.array([places[index], value]), MARK, HIGHLIGHT)

    def draw_words(self, draw: ImageDraw.ImageDraw) -> None:
        for left, top, words, colour in self._heading:
            draw.text((left, top), words, colour, lettering(TEXT))
        for tick, label in self._up.ticks():
            height = self._bottom - tick * (self._bottom - self._top)
            draw.text((LEFT - 6, height), label, "black", lettering(TEXT), anchor="rm")

    def _line(self, draw: ImageDraw.ImageDraw, points: Floats, colour: str, width: int) -> None:
        if len(points) > 1:
            there = [self._pixel(point) for point in points]
            draw.line(there, colour, FINE * width, joint="curve")

    def _dot(self, draw: ImageDraw.ImageDraw, point: Floats, colour: str, radius: int) -> None:
        x, y = self._pixel(point)
        reach = FINE * radius
        draw.ellipse((x - reach, y - reach, x + reach, y + reach), colour)

    def _pixel(self, point: Floats) -> tuple[float, float]:
        x = LEFT + point[0] * (RIGHT - LEFT)
        y = self._bottom - point[1] * (self._bottom - self._top)
        return FINE * float(x), FINE * float(y)


def _flow(plot: Plot, top: int) -> list[tuple[float, float, str, str]]:
    """The heading's words in as many lines as they need: left, top, words, colour."""
    words = [(plot.title, "black")]
    words += [(f"• {curve.label}", curve.colour) for curve in plot.curves if curve.label]
    words += [(f"• {plot.marked[1]}", MARK)] if plot.marked else []
    placed: list[tuple[float, float, str, str]] = []
    left, height = float(LEFT), float(top)
    for text, colour in words:
        width = lettering(TEXT).getlength(text)
        if placed and left + width > RIGHT:
            left, height = float(LEFT), height + TEXT + 5
        placed.append((left, height, text, colour))
        left += width + 16
    return placed
