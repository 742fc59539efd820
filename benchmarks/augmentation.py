"""A slice of an augmented volume, beside torchio's augmentation of the whole volume.

    python -m benchmarks.augmentation [--samples 200]

Volumes are of the published size, 50 slices of 96². Prints processor seconds a sample, and the
largest difference of the slices.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated

import numpy as np
import torch
import torchio
import typer
from numpy.typing import NDArray

from data.brain.augment import BIAS_FIELD, BLUR, GAMMA, GHOSTING, augmented_slice

SHAPE, VOXEL = (50, 96, 96), (2.0, 2.0, 2.0)
Image = NDArray[np.float32]


def main(samples: Annotated[int, typer.Option()] = 200) -> None:
    """Compare."""
    torch.set_num_threads(1)
    volume = np.random.default_rng(0).uniform(0, 1, SHAPE).astype(np.float32)
    whole = torchio.Compose(
        [
            torchio.RandomGamma(p=GAMMA),
            torchio.RandomBiasField(p=BIAS_FIELD),
            torchio.RandomBlur(p=BLUR),
            torchio.RandomGhosting(p=GHOSTING),
        ]
    )

    def by_torchio(number: int) -> Image:
        image = torchio.ScalarImage(tensor=volume[None].copy(), affine=np.diag([*VOXEL, 1.0]))
        return np.asarray(whole(image).numpy()[0, number])

    def by_us(number: int) -> Image:
        return augmented_slice(volume, number, VOXEL)

    theirs, slow = _timed(by_torchio, samples)
    ours, quick = _timed(by_us, samples)
    worst = max(float(np.abs(a - b).max()) for a, b in zip(theirs, ours, strict=True))
    print(f"torchio, the whole volume  {slow * 1e3:7.2f} ms")
    print(f"ours, the slice            {quick * 1e3:7.2f} ms, {slow / quick:.0f} times faster")
    print(f"largest difference         {worst:.1e}")


def _timed(make: Callable[[int], Image], samples: int) -> tuple[list[Image], float]:
    """Slices by one seed each, and the seconds for one."""
    made = []
    make(0)
    begun = time.process_time()
    for seed in range(samples):
        torch.manual_seed(seed)
        made.append(make(seed % SHAPE[0]))
    return made, (time.process_time() - begun) / samples


if __name__ == "__main__":
    typer.run(main)
