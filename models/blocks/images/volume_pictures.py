"""The picture of a CT volume beside its target: the three middle planes, in one HU window.

Axial planes are seen from the feet with the front above, coronal ones from the front, sagittal
ones from the right with the front on the left: in the first two the patient's right is on the
left, as radiologists hang images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from models.blocks.images.volume_metrics import mae_hu, psnr, ssim
from models.pictures import Panel, Picture, Role

PLANES = ("Axial", "Coronal", "Sagittal")

Array = NDArray[np.float32]


def compare_volumes(
    names: Sequence[str],
    targets: Tensor,
    results: Mapping[str, Tensor],
    *,
    hu_window: tuple[float, float],
) -> list[Picture]:
    """A picture of each sample: a row a plane, of target, results and the last one's difference.

    Args:
        names: of the samples, which become those of the pictures.
        targets: (B, 1, D, H, W) in [0, 1].
        results: each (B, 1, D, H, W), by title, such as {"Trilinear": …, "Result": …}.
        hu_window: the CT numbers that 0 and 1 stand for, and black and white.
    """
    pictures = []
    for number, name in enumerate(names):
        target = targets[number : number + 1]
        own = {title: volume[number : number + 1] for title, volume in results.items()}
        pictures.append(_picture(name, target, own, hu_window))
    return pictures


def middle_planes(volume: Array) -> tuple[Array, Array, Array]:
    """The axial (H, W), coronal (D, W) and sagittal (D, H) middle planes of a (D, H, W)."""
    depth, height, width = volume.shape
    return volume[depth // 2], volume[:, height // 2], volume[:, :, width // 2]


def _picture(
    name: str,
    target: Tensor,
    results: Mapping[str, Tensor],
    hu_window: tuple[float, float],
) -> Picture:
    """One sample's panels, from volumes (1, 1, D, H, W)."""
    columns = {"Target": target} | dict(results)
    planes = {title: middle_planes(_hu(volume, hu_window)) for title, volume in columns.items()}
    last = list(results)[-1]
    roles: dict[str, Role] = dict.fromkeys(results, "baseline")
    roles |= {last: "result", "Target": "target"}
    panels: list[Panel] = []
    for row, plane in enumerate(PLANES):
        panels.extend(
            Panel(
                title=f"{title}, {plane.lower()}",
                image=images[row],
                role=roles[title],
                view=plane.lower(),
            )
            for title, images in planes.items()
        )
        difference = planes[last][row] - planes["Target"][row]
        panels.append(Panel(title=f"{last} − target, HU", image=difference, difference=True))
    scores = [_scored(title, volume, target, hu_window) for title, volume in results.items()]
    low, high = hu_window
    return Picture(
        name=name,
        title="\n".join([f"{name}, {low:g} to {high:g} HU", *scores]),
        panels=panels,
        window=hu_window,
        per_row=len(columns) + 1,
    )


def _scored(title: str, result: Tensor, target: Tensor, hu_window: tuple[float, float]) -> str:
    values = (
        f"PSNR {float(psnr(result, target)):.2f} dB",
        f"SSIM {float(ssim(result, target)):.3f}",
        f"MAE {float(mae_hu(result, target, hu_window)):.1f} HU",
    )
    return f"{title}: {', '.join(values)}"


def _hu(volume: Tensor, hu_window: tuple[float, float]) -> Array:
    """(1, 1, D, H, W) in [0, 1] as CT numbers (D, H, W)."""
    low, high = hu_window
    scaled: Array = (low + (high - low) * volume[0, 0].float().clamp(0, 1)).cpu().numpy()
    return scaled
