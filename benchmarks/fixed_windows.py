"""A learned window beside fixed ones, on the same slices.

    python -m benchmarks.fixed_windows runs/x/best/best.pth [--split test]

The cut-off of the Hann window is chosen on the validation split, as the learned window was, and
judged on the other one. Prints the mean PSNR (data range 1) of each, and what the learned window
gains in dB.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from torch import Tensor
from torch.utils.data import DataLoader

from data.lodopab.dataset import LodopabDataset
from models.blocks.fbp.fbp import fixed_window_fbp
from models.blocks.fbp.window import InitialWindow
from models.blocks.images.metrics import psnr
from worker.calls.show import load_model

Reconstruct = Callable[[Tensor], Tensor]
SCALINGS = [round(float(scaling), 2) for scaling in np.arange(0.2, 1.01, 0.05)]


@torch.no_grad()
def mean_psnr(reconstruct: Reconstruct, dataset: LodopabDataset) -> float:
    """The mean over all samples, in dB."""
    found = [
        psnr(reconstruct(batch["sinogram"]), batch["image"])
        for batch in DataLoader(dataset, batch_size=8)
    ]
    return float(torch.cat(found).mean())


def main(
    checkpoint: Path,
    split: Annotated[str, typer.Option()] = "test",
    data_root: Annotated[str | None, typer.Option(help="where the data lie now")] = None,
) -> None:
    """Compare on one split."""
    family, model = load_model(checkpoint, data_root=data_root)
    chosen_on, judged_on = family.dataset("validation"), family.dataset(split)
    geometry = judged_on.geometry

    def fixed(window: InitialWindow, scaling: float) -> Reconstruct:
        return lambda sinogram: fixed_window_fbp(sinogram, geometry, window, scaling)

    hann = max(SCALINGS, key=lambda scaling: mean_psnr(fixed("hann", scaling), chosen_on))
    learned = mean_psnr(model, judged_on)
    print(f"{split} split, {len(judged_on)} samples, mean PSNR in dB")
    print(f"  learned window                  {learned:6.2f}")
    for name, reconstruct in {
        "Ram-Lak": fixed("ones", 1.0),
        f"best Hann (cut-off {hann:.2f})": fixed("hann", hann),
    }.items():
        value = mean_psnr(reconstruct, judged_on)
        print(f"  {name:30}  {value:6.2f}   learned is {learned - value:+.2f} dB")


if __name__ == "__main__":
    typer.run(main)
