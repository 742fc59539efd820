"""`infer` in the process that has torch: two X-rays in, a NIfTI volume out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from data.scans.nifti_writer import nifti_bytes
from data.xray_ct.dataset import FAINT
from data.xray_ct.views import read_views
from models.family import Volume
from protocol.errors import UserError
from protocol.files import replacing
from worker.calls.opened import OpenedCheckpoint, open_checkpoint
from worker.calls.prediction.xrays import stacked
from worker.calls.volume_picture import inferred_picture
from worker.ranks.seeding import mix, reseed
from worker.training.pictures import draw


def infer(
    *,
    checkpoint: str,
    inputs: Sequence[str],
    out: str,
    voxel_size: Sequence[float] | None = None,
    number: Literal["int16", "float32"] = "int16",
    device: str = "cpu",
    picture: str | None = None,
) -> dict[str, Any]:
    """The volume that belongs to two X-rays, by the model in `checkpoint`.

    Args:
        inputs: two images, the front view first, or one case folder.
        out: the .nii or .nii.gz file to write; what is there is replaced when the new is whole.
        voxel_size: mm from right to left, front to back and head to feet, instead of the model's.
        number: how voxels are stored.
        picture: a .png file with the views and three planes of the volume.

    Returns:
        {"family", "epoch", "sha256", "sources": [path], "turned": degrees, "inverted": bool,
        "faint": bool, "shape": [x, y, z], "voxel_size": [x, y, z], "hu": [lowest, highest],
        "seconds", "bytes"}.

    Raises:
        CheckpointError, SettingsError, DataError: one of them is at fault.
        UserError: the volume cannot be written, or is not one of numbers.
    """
    views = read_views([Path(path) for path in inputs])
    opened = open_checkpoint(Path(checkpoint), device)
    data = opened.family.data  # as the images of its training were
    turn, invert = int(getattr(data, "xray_turn", 0)), bool(getattr(data, "xray_invert", False))
    xrays = stacked(views, turn, invert)
    started = time.monotonic()
    volume = _volume(opened, xrays.to(opened.device), voxel_size)
    seconds = time.monotonic() - started
    _check(volume, checkpoint)
    packed = nifti_bytes(
        volume.hu, volume.voxel_size, number=number, compressed=out.endswith(".gz")
    )
    _write(Path(out), packed)
    if picture is not None:
        draw(inferred_picture(xrays, volume, Path(out).name), Path(picture))
    return {
        "family": type(opened.family).__name__,
        "epoch": opened.epoch,
        "sha256": opened.sha256,
        "sources": list(views.sources),
        "turned": turn,
        "inverted": invert,
        "faint": bool(xrays.max() < FAINT),
        "shape": list(volume.hu.shape[::-1]),
        "voxel_size": list(volume.voxel_size[::-1]),
        "hu": [float(volume.hu.min()), float(volume.hu.max())],
        "seconds": seconds,
        "bytes": len(packed),
    }


@torch.no_grad()
def _volume(opened: OpenedCheckpoint, xrays: Tensor, voxel_size: Sequence[float] | None) -> Volume:
    reseed(mix(opened.seed, "infer"))
    try:
        volume = opened.family.infer(opened.model, xrays)
    except torch.OutOfMemoryError as error:
        raise UserError(
            f"the memory of {opened.device} is too small for this volume; use another "
            "device, such as cpu",
            key="--device",
        ) from error
    if voxel_size is None:
        return volume
    x, y, z = voxel_size
    return Volume(hu=volume.hu, voxel_size=(z, y, x))


def _check(volume: Volume, checkpoint: str) -> None:
    bad = int(volume.hu.size - np.isfinite(volume.hu).sum())
    if bad:
        raise UserError(
            f"the model in {checkpoint} makes {bad} voxels of {volume.hu.size} NaN or infinite out "
            "of these X-rays; nothing was written; choose another trial"
        )


def _write(out: Path, content: bytes) -> None:
    try:
        with replacing(out) as stream:
            stream.write(content)
    except OSError as error:
        raise UserError(
            f"{out} cannot be written: {error.strerror or error}", key="--out"
        ) from error
