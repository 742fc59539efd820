"""Volumes that a model makes of two X-rays, beside the mean of the volumes it was trained on.

    python -m benchmarks.mean_volume runs/x/best/best.pth [--split test]

What a network knows without having looked at the X-rays is the mean volume: a model that is not
better has learned nothing from them. Prints the mean over a split's cases of each metric.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor

from data.xray_ct.dataset import XrayCtVolumes
from models.blocks.images.volumes import scores
from worker.calls.show import load_model

Scores = dict[str, Tensor]


@torch.no_grad()
def main(
    checkpoint: Path,
    split: Annotated[str, typer.Option()] = "test",
    device: Annotated[str, typer.Option()] = "cpu",
    data_root: Annotated[str | None, typer.Option(help="where the data lie now")] = None,
) -> None:
    """Compare on one split."""
    family, model = load_model(checkpoint, device=device, data_root=data_root)
    low, high = window = family.data.hu_window
    judged_on = XrayCtVolumes(family.data, split)
    mean = mean_volume(XrayCtVolumes(family.data, "train"))
    rows: dict[str, list[Scores]] = {"model": [], "mean volume": []}
    for index in range(len(judged_on)):
        case = judged_on[index]
        target = torch.as_tensor(case["ct"])[None]
        made = family.infer(model, torch.as_tensor(case["xrays"]).to(device)).hu
        result = (torch.from_numpy(made)[None, None] - low) / (high - low)
        rows["model"].append(scores(result, target, window))
        rows["mean volume"].append(scores(mean, target, window))
    print(f"{split} split, {len(judged_on)} cases, means")
    for name, found in rows.items():
        means = {key: sum(float(each[key]) for each in found) / len(found) for key in found[0]}
        print(f"  {name:12}" + "".join(f"  {key} {value:.4g}" for key, value in means.items()))


def mean_volume(dataset: XrayCtVolumes) -> Tensor:
    """(1, 1, D, H, W)."""
    total = sum(torch.as_tensor(dataset[index]["ct"]) for index in range(len(dataset)))
    return (total / len(dataset))[None]


if __name__ == "__main__":
    typer.run(main)
