"""What simplex noise costs beside the training step that it is made for.

    python -m benchmarks.simplex_noise [--device cuda] [--batch 32] [--json figures.json]

For each size a step of `ddpm2d` is taken, noise, forward, backward and Adam on random slices, and
its noise is made alone. The noise is also made one pixel after the other, as a loop in Python and
as the same loop compiled by numba, which is how the published models make it; the last columns
tell how much longer that takes for a slice, on the CPU whatever the device. Figures are medians.
"""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numba
import numpy as np
import torch
import typer
from numpy.typing import NDArray

from data.brain.dataset import BrainSettings
from models.blocks.diffusion.noise import sample_noise
from models.families.ddpm2d import Ddpm2d, Ddpm2dSettings
from models.family import Batch

OCTAVES, PERSISTENCE, FREQUENCY = 6, 0.8, 64.0
TINY = {"width": 16, "channel_multipliers": (1, 2), "residual_blocks": 1, "encoder": "small"}


@dataclass(frozen=True, kw_only=True)
class Size:
    name: str
    side: int
    batch: int
    recipe: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """Milliseconds for a batch, but for the loops: for one slice."""

    size: str
    batch: int
    step: float
    noise: float
    compiled_loop_slice: float
    python_loop_slice: float

    @property
    def share(self) -> float:
        """Of a step with its noise."""
        return self.noise / self.step


def main(
    device: Annotated[str, typer.Option(help="of the step and of the batch's noise")] = "cpu",
    batch: Annotated[int, typer.Option(help="slices of a full-size step")] = 2,
    repeats: Annotated[int, typer.Option(help="of each timing")] = 5,
    json_file: Annotated[Path | None, typer.Option("--json", help="also write figures")] = None,
) -> None:
    """Print the table of figures."""
    sizes = [
        Size(name="tiny", side=32, batch=8, recipe=TINY),
        Size(name="full", side=96, batch=batch, recipe={}),
    ]
    figures = [measure(size, device, repeats) for size in sizes]
    print(f"{'size':6}{'batch':>6}{'step':>12}{'noise':>12}{'share':>8}{'numba':>9}{'Python':>10}")
    for figure in figures:
        own = figure.noise / figure.batch
        print(
            f"{figure.size:6}{figure.batch:6}{figure.step:9.1f} ms{figure.noise:9.2f} ms"
            f"{figure.share:8.2%}{figure.compiled_loop_slice / own:8.1f}×"
            f"{figure.python_loop_slice / own:9.0f}×"
        )
    if json_file is not None:
        rows = [{**asdict(figure), "share": figure.share} for figure in figures]
        json_file.write_text(json.dumps({"device": device, "figures": rows}, indent=2) + "\n")


def measure(size: Size, device: str, repeats: int) -> Figure:
    """All timings of one size."""
    seeds = torch.arange(size.batch, device=device)
    shape = (size.batch, 1, size.side, size.side)
    keys = [np.random.default_rng(0).permutation(256)]
    loop = numba.njit(slice_by_loop)
    loop(2, keys[0])
    return Figure(
        size=size.name,
        batch=size.batch,
        step=median_ms(training_step(size, device), device, repeats),
        noise=median_ms(
            lambda: sample_noise("simplex", shape, seeds, device=device), device, 4 * repeats
        ),
        compiled_loop_slice=median_ms(lambda: loop(size.side, keys[0]), "cpu", 4 * repeats),
        python_loop_slice=median_ms(lambda: slice_by_loop(size.side, keys[0]), "cpu", 1),
    )


def training_step(size: Size, device: str) -> Callable[[], object]:
    """A function that takes one step of `ddpm2d` on random slices."""
    family = Ddpm2d(Ddpm2dSettings(noise="simplex", **size.recipe), BrainSettings(root=Path()))
    model = family.build_model().to(device).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    image = torch.rand(size.batch, 1, size.side, size.side, device=device)
    batch: Batch = {
        "image": image,
        "mask": torch.ones_like(image),
        "seed": torch.arange(size.batch, device=device),
    }

    def step() -> None:
        optimizer.zero_grad()
        torch.stack(list(family.losses(model, batch).values())).sum().backward()
        optimizer.step()

    return step


def median_ms(task: Callable[[], object], device: str, repeats: int) -> float:
    """The median time of `task` in milliseconds, after one run that is not counted."""
    times = []
    for number in range(repeats + 1):
        started = time.perf_counter()
        task()
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)
        if number or repeats == 1:
            times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times)


def slice_by_loop(side: int, permutation: NDArray[np.int64]) -> NDArray[np.float64]:
    """The noise of one slice, pixel by pixel and octave by octave, with a permutation table."""
    skew, unskew = (math.sqrt(3.0) - 1) / 2, (3 - math.sqrt(3.0)) / 6
    noise = np.zeros((side, side))
    for octave in range(OCTAVES):
        scale, amplitude = 2.0**octave / (2 * FREQUENCY), PERSISTENCE**octave
        for row in range(side):
            for column in range(side):
                x, y = column * scale, row * scale
                shift = (x + y) * skew
                i, j = math.floor(x + shift), math.floor(y + shift)
                x0, y0 = x - i + (i + j) * unskew, y - j + (i + j) * unskew
                lower = 1 if x0 > y0 else 0
                value = 0.0
                for corner in range(3):
                    di = 0 if corner == 0 else (lower if corner == 1 else 1)
                    dj = 0 if corner == 0 else (1 - lower if corner == 1 else 1)
                    dx, dy = x0 - di + (di + dj) * unskew, y0 - dj + (di + dj) * unskew
                    reach = 0.5 - dx * dx - dy * dy
                    if reach > 0:
                        chosen = permutation[(permutation[(i + di) & 255] + j + dj) & 255] & 7
                        angle = (chosen + 0.5) * math.pi / 4
                        value += reach**4 * (math.cos(angle) * dx + math.sin(angle) * dy)
                noise[row, column] += amplitude * value
    return noise


if __name__ == "__main__":
    typer.run(main)
