"""What keeping reconstructions saves: an epoch of `fbp_unet` with kept ones and with none.

    python -m benchmarks.reconstruction_cache [--json figures.json]

Both read the same made-up sinograms and take turns, so that whatever else the machine does falls
on both alike. An epoch is measured without training, which leaves what the data cost, and with
the training of a U-Net, which is what a user waits for. Times are processor time of the one
process, medians over the rounds: a shared machine makes wall-clock times longer, not these.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import h5py
import numpy as np
import torch
import typer
from torch.utils.data import default_collate

from data.geometry import ParallelGeometry
from data.lodopab.layout import file_name
from data.lodopab.reconstructions import ReconstructionSettings
from models.families.fbp_unet import FbpUnet, FbpUnetSettings

Architecture = Literal["published", "small"]

GEOMETRIES = {
    "small": ParallelGeometry.lodopab(angles=128, detectors=91, image_size=64),
    "full": ParallelGeometry.lodopab(),
}
BATCH = 4


@dataclass(frozen=True, kw_only=True)
class Figure:
    """Milliseconds of processor time an image, the median epoch's."""

    geometry: str
    what: str
    on_the_fly: float
    first_epoch: float  # which fills the cache
    kept: float

    @property
    def ratio(self) -> float:
        return self.on_the_fly / self.kept


def write_scans(root: Path, geometry: ParallelGeometry, images: int) -> None:
    """Sinograms and images of noise, whose values cost no more and no less than others."""
    random = np.random.default_rng(0)
    shapes = {
        "observation": (images, geometry.angles, geometry.detectors),
        "ground_truth": (images, geometry.image_size, geometry.image_size),
    }
    for kind, shape in shapes.items():
        with h5py.File(root / file_name(kind, "train", 0), "w") as file:
            file["data"] = random.random(shape, np.float32)


def epoch(family: FbpUnet, train: Callable[[dict], None] | None) -> float:
    """Milliseconds of processor time an image, of one epoch."""
    dataset = family.dataset("train")
    start = time.process_time()
    for first in range(0, len(dataset), BATCH):
        indices = range(first, min(first + BATCH, len(dataset)))
        batch = default_collate([dataset[index] for index in indices])
        if train is not None:
            train(batch)
    return 1000 * (time.process_time() - start) / len(dataset)


def trainer(family: FbpUnet) -> Callable[[dict], None]:
    """Takes an optimiser step on a batch."""
    model = family.build_model()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)

    def step(batch: dict) -> None:
        optimizer.zero_grad()
        sum(family.losses(model, batch).values()).backward()
        optimizer.step()

    return step


def measure(geometry: str, images: int, rounds: int, architecture: Architecture) -> list[Figure]:
    """The figures of one geometry: reading alone, and training."""
    figures = []
    settings = FbpUnetSettings(architecture=architecture)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_scans(root, GEOMETRIES[geometry], images)
        anew = FbpUnet(settings, ReconstructionSettings(root=root, cache_gb=0))
        epoch(anew, None)  # compiles
        step = trainer(anew)
        for what, train in (("reading", None), (f"training {architecture}", step)):
            place = root / f"cache_{what.replace(' ', '_')}"
            kept = FbpUnet(settings, ReconstructionSettings(root=root, cache_folder=place))
            first = epoch(kept, train)
            turns = [(epoch(anew, train), epoch(kept, train)) for _ in range(rounds)]
            without, with_cache = (statistics.median(times) for times in zip(*turns, strict=True))
            figures.append(
                Figure(
                    geometry=geometry,
                    what=what,
                    on_the_fly=without,
                    first_epoch=first,
                    kept=with_cache,
                )
            )
    return figures


def main(
    images: Annotated[int, typer.Option(help="Images of an epoch.")] = 16,
    rounds: Annotated[int, typer.Option(help="Epochs of each kind.")] = 3,
    threads: Annotated[int, typer.Option(help="Of this process.")] = 1,
    architecture: Annotated[Architecture, typer.Option(help="The U-Net that trains.")] = "small",
    json_file: Annotated[Path | None, typer.Option("--json", help="Write figures here.")] = None,
) -> None:
    """Measure both geometries and print a table."""
    torch.set_num_threads(threads)
    figures = []
    print("ms an image                      FBP anew   first epoch   kept   times faster")
    for geometry in GEOMETRIES:
        for figure in measure(geometry, images, rounds, architecture):
            figures.append(figure)
            print(
                f"{figure.geometry:6} {figure.what:20} {figure.on_the_fly:13.2f} "
                f"{figure.first_epoch:13.2f} {figure.kept:6.2f} {figure.ratio:14.2f}",
                flush=True,
            )
    if json_file is not None:
        json_file.write_text(json.dumps([asdict(figure) for figure in figures], indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
