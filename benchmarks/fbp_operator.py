"""Filtered backprojection side by side: this project's operator and three others, on a CPU.

    python -m benchmarks.fbp_operator [--json figures.json]

Every variant filters and backprojects the same disc phantom, each with its own filter. They take
turns, so that whatever else the machine does falls on all of them alike. The table gives the
median and the fastest time of an image, and how many times slower than ours the median is.

Backward is the gradient with respect to the filtered sinogram and the frequency window; ASTRA has
no gradient, so its transpose, the forward projection, stands in; scikit-image has neither. Peak
memory is what one forward and backward adds to a fresh process that has imported everything and
run a tiny scan.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
import typer
from torch import Tensor

from data.geometry import ParallelGeometry
from models.blocks.fbp.fbp import FilteredBackprojection
from models.blocks.fbp.ramp import filter_detector
from models.blocks.fbp.window import FrequencyWindow, make_window

Step = Callable[[], Tensor]  # reconstructs the batch, (B, N, N)


@dataclass(frozen=True)
class Variant:
    """One way to reconstruct: both steps include everything but what is kept between images."""

    forward: Step
    forward_backward: Step | None


@dataclass(frozen=True, kw_only=True)
class Figure:
    variant: str
    batch: int
    mode: str
    seconds_per_image: list[float]
    peak_mb: float | None

    @property
    def median(self) -> float:
        return statistics.median(self.seconds_per_image)


def disc_sinogram(geometry: ParallelGeometry, batch: int) -> Tensor:
    """(B, 1, A, D) line integrals of one off-centre disc of value 1, in metres."""
    angles = geometry.angle_values[:, None]
    cells = (np.arange(geometry.detectors) + 0.5) * geometry.cell_width
    cells = cells - geometry.detector_half_width
    distance = cells - 0.04 * np.cos(angles) + 0.02 * np.sin(angles)
    chords = 2 * np.sqrt(np.maximum(0, 0.05**2 - distance**2))
    return torch.from_numpy(chords).float().expand(batch, 1, -1, -1).contiguous()


def trainable(model: Callable[[Tensor], Tensor], sinogram: Tensor) -> Variant:
    """A variant of a torch model that trains a window."""

    def forward() -> Tensor:
        with torch.no_grad():
            return model(sinogram)[:, 0]

    def forward_backward() -> Tensor:
        image = model(sinogram)
        image.square().mean().backward()
        return image[:, 0].detach()

    return Variant(forward, forward_backward)


def ours(geometry: ParallelGeometry, sinogram: Tensor) -> Variant:
    return trainable(FilteredBackprojection(geometry, make_window("full", geometry)), sinogram)


class GridSample(torch.nn.Module):
    """The textbook form in torch: `grid_sample` one angle after the other, positions kept.

    `whole` is how it is often published: it reconstructs the square that is as wide as the
    detector, and crops the image from its centre.
    """

    def __init__(self, geometry: ParallelGeometry, window: FrequencyWindow, *, whole: bool) -> None:
        super().__init__()
        self.geometry = geometry
        self.window = window
        size = geometry.detectors if whole else geometry.image_size
        half_width = geometry.detector_half_width if whole else geometry.image_half_width
        pixel = (torch.arange(size) + 0.5) * (2 * half_width / size) - half_width
        angles = torch.from_numpy(geometry.angle_values).float()[:, None, None]
        s = pixel[:, None] * angles.cos() + pixel * angles.sin()
        s = s / geometry.detector_half_width  # −1 … 1 from edge to edge: align_corners=False
        self.grid = torch.stack((s, torch.zeros_like(s)), dim=-1)  # (A, pixels, pixels, 2)
        first = (size - geometry.image_size) // 2
        self.crop = slice(first, first + geometry.image_size)

    def forward(self, sinogram: Tensor) -> Tensor:
        filtered = filter_detector(sinogram, self.geometry, self.window())
        image = 0
        for angle, grid in enumerate(self.grid):
            row = filtered[:, :, angle : angle + 1]
            places = grid.expand(len(row), -1, -1, -1)
            image = image + F.grid_sample(row, places, align_corners=False)
        return image[..., self.crop, self.crop] * self.geometry.angle_step


def grid_sample(geometry: ParallelGeometry, sinogram: Tensor) -> Variant:
    window = make_window("full", geometry)
    return trainable(GridSample(geometry, window, whole=False), sinogram)


def grid_sample_whole(geometry: ParallelGeometry, sinogram: Tensor) -> Variant:
    window = make_window("full", geometry)
    return trainable(GridSample(geometry, window, whole=True), sinogram)


def astra_cpu(geometry: ParallelGeometry, sinogram: Tensor) -> Variant | None:
    try:
        import astra
    except ImportError:
        return None
    size, cell = geometry.image_size, geometry.cell_width / geometry.pixel_width
    volume = astra.create_vol_geom(size, size)
    scan = astra.create_proj_geom("parallel", cell, geometry.detectors, geometry.angle_values)
    projector = astra.create_projector("linear", scan, volume)
    integrals = sinogram[:, 0].numpy() / geometry.pixel_width  # ASTRA's unit is a pixel

    def reconstruct(projections: np.ndarray) -> np.ndarray:
        data = astra.data2d.create("-sino", scan, projections)
        image = astra.data2d.create("-vol", volume)
        settings = astra.astra_dict("FBP")
        settings |= {
            "ProjectorId": projector,
            "ProjectionDataId": data,
            "ReconstructionDataId": image,
        }
        algorithm = astra.algorithm.create(settings)
        astra.algorithm.run(algorithm)
        result = astra.data2d.get(image)
        astra.algorithm.delete(algorithm)
        astra.data2d.delete([data, image])
        return result

    def forward() -> Tensor:
        images = np.stack([reconstruct(projections) for projections in integrals])
        return torch.from_numpy(images).flip(1).transpose(1, 2)

    def forward_backward() -> Tensor:
        images = [reconstruct(projections) for projections in integrals]
        for image in images:
            identifier, _ = astra.create_sino(image, projector)
            astra.data2d.delete(identifier)
        return torch.from_numpy(np.stack(images)).flip(1).transpose(1, 2)

    return Variant(forward, forward_backward)


def scikit_image(geometry: ParallelGeometry, sinogram: Tensor) -> Variant:
    from skimage.transform import iradon

    # Its detector cells are as wide as its pixels, so it reconstructs on the detector's grid.
    degrees = np.rad2deg(geometry.angle_values)
    projections = sinogram[:, 0].numpy().transpose(0, 2, 1) / geometry.cell_width
    size = geometry.image_size

    def forward() -> Tensor:
        images = [
            iradon(one, degrees, output_size=size, circle=False).astype(np.float32)
            for one in projections
        ]
        return torch.from_numpy(np.stack(images)).flip(1).transpose(1, 2)

    return Variant(forward, None)


VARIANTS: dict[str, Callable[[ParallelGeometry, Tensor], Variant | None]] = {
    "ours": ours,
    "ASTRA CPU, linear": astra_cpu,
    "grid_sample": grid_sample,
    "grid_sample, cropped": grid_sample_whole,
    "scikit-image iradon": scikit_image,
}


def peak_megabytes(name: str, sizes: tuple[int, int, int], batch: int, threads: int) -> float:
    """What a forward and backward adds to the largest resident set of a process of its own."""
    torch.set_num_threads(threads)
    tiny = ParallelGeometry.lodopab(angles=16, detectors=31, image_size=20)
    _run_once(name, tiny, disc_sinogram(tiny, batch))
    geometry = _geometry(sizes)
    sinogram = disc_sinogram(geometry, batch)
    before = _peak_kilobytes()
    _run_once(name, geometry, sinogram)
    return (_peak_kilobytes() - before) / 1024


def _peak_kilobytes() -> int:
    # Not getrusage's ru_maxrss: a new process inherits its parent's.
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def _run_once(name: str, geometry: ParallelGeometry, sinogram: Tensor) -> None:
    variant = VARIANTS[name](geometry, sinogram)
    assert variant is not None
    (variant.forward_backward or variant.forward)()


def _geometry(sizes: tuple[int, int, int]) -> ParallelGeometry:
    angles, detectors, image_size = sizes
    return ParallelGeometry.lodopab(angles=angles, detectors=detectors, image_size=image_size)


def timed(step: Step, batch: int) -> float:
    start = time.perf_counter()
    step()
    return (time.perf_counter() - start) / batch


def interleaved(steps: dict[str, Step], batch: int, repeats: int) -> dict[str, list[float]]:
    """Seconds an image of every step, taking turns; a first turn warms up and is not counted."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(repeats + 1):
        for name, step in steps.items():
            seconds = timed(step, batch)
            if turn:
                times[name].append(seconds)
    return times


def check_agreement(variants: dict[str, Variant], console: Any) -> None:
    """Every variant must have drawn the same disc, or their times would mean nothing."""
    reference = variants["ours"].forward()
    for name, variant in variants.items():
        image = variant.forward()
        error = ((image - reference).norm() / reference.norm()).item()
        console(f"  {name}: differs from ours by {error:.1%}")
        if error > 0.25:  # half a pixel aside is 15 % on a coarse grid, a turn over 100 %
            raise SystemExit(f"{name} reconstructs something else")


def measure(
    sizes: tuple[int, int, int], batch: int, repeats: int, threads: int, without: list[str]
) -> Iterator[Figure]:
    geometry = _geometry(sizes)
    sinogram = disc_sinogram(geometry, batch)
    made = {
        name: make(geometry, sinogram) for name, make in VARIANTS.items() if name not in without
    }
    variants = {name: variant for name, variant in made.items() if variant is not None}
    typer.echo(f"batch {batch}")
    check_agreement(variants, typer.echo)
    forward = {name: variant.forward for name, variant in variants.items()}
    both = {
        name: variant.forward_backward
        for name, variant in variants.items()
        if variant.forward_backward is not None
    }
    for mode, steps in (("forward", forward), ("forward + backward", both)):
        for name, seconds in interleaved(steps, batch, repeats).items():
            peak = None
            if mode == "forward + backward" or name not in both:
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    peak = pool.apply(peak_megabytes, (name, sizes, batch, threads))
            yield Figure(
                variant=name, batch=batch, mode=mode, seconds_per_image=seconds, peak_mb=peak
            )


def show(figures: list[Figure]) -> None:
    typer.echo(
        f"\n{'batch':>5}  {'mode':<19} {'variant':<20} {'ms/image':>9} {'fastest':>9} "
        f"{'images/s':>9} "
        f"{'ours is':>9} {'peak MB':>8}"
    )
    for figure in figures:
        own = next(
            other.median
            for other in figures
            if (other.variant, other.batch, other.mode) == ("ours", figure.batch, figure.mode)
        )
        memory = "" if figure.peak_mb is None else f"{figure.peak_mb:.0f}"
        typer.echo(
            f"{figure.batch:>5}  {figure.mode:<19} {figure.variant:<20} "
            f"{figure.median * 1e3:>9.1f} {min(figure.seconds_per_image) * 1e3:>9.1f} "
            f"{1 / figure.median:>9.2f} "
            f"{figure.median / own:>8.1f}× {memory:>8}"
        )


def main(
    angles: Annotated[int, typer.Option(min=1, help="projection angles")] = 1000,
    detectors: Annotated[int, typer.Option(min=2, help="detector cells")] = 513,
    image_size: Annotated[int, typer.Option(min=2, help="pixels on an image's side")] = 362,
    batch: Annotated[list[int] | None, typer.Option(min=1, help="repeatable")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="counted turns of each variant")] = 5,
    threads: Annotated[int, typer.Option(min=1, help="torch's")] = os.cpu_count() or 1,
    without: Annotated[
        list[str] | None, typer.Option(help="a variant to leave out; repeatable")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="also write every time to this file")
    ] = None,
) -> None:
    """Time filtered backprojection and its gradient against three other ways."""
    torch.set_num_threads(threads)
    sizes = (angles, detectors, image_size)
    typer.echo(
        f"{angles}×{detectors} → {image_size}², {threads} threads, torch {torch.__version__}, "
        f"{platform.processor() or platform.machine()}, load {os.getloadavg()[0]:.1f}"
    )
    figures = [
        figure
        for one in batch or [1, 4]
        for figure in measure(sizes, one, repeats, threads, without or [])
    ]
    show(figures)
    if json_file is not None:
        rows = [asdict(figure) | {"median": figure.median} for figure in figures]
        json_file.write_text(json.dumps({"sizes": sizes, "threads": threads, "rows": rows}))


if __name__ == "__main__":
    typer.run(main)
