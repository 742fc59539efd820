"""Filtered backprojection in torch operations that `torch.export` can trace and ONNX can say.

The same arithmetic as the operators, in another order: the transforms along the detector are
products with their matrices, the sums over angles are those of `lerp.gather_with_torch`. Slower,
and nothing here has a gradient.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from data.geometry import ParallelGeometry
from models.blocks.fbp.lerp import MAX_GATHERED, gather_with_torch
from models.blocks.fbp.ramp import padded_length, ramp_response
from models.blocks.fbp.scan_plan import ScanPlan, scan_plan
from models.blocks.fbp.symmetry import angle_groups, unfold


def traced_backprojection(sinogram: Tensor, geometry: ParallelGeometry, window: Tensor) -> Tensor:
    """What `fbp.filtered_backprojection` makes of (B, 1, A, D) float32: (B, 1, N, N).

    Args:
        window: (bins,) or (A, bins), times the angle step.
    """
    response = ramp_response(geometry.detectors, geometry.cell_width)
    factor = window * torch.from_numpy(response.astype(np.float32))
    return _backprojected(_filtered(sinogram, factor), scan_plan(geometry))


def _filtered(sinogram: Tensor, factor: Tensor) -> Tensor:
    """Every projection's real Fourier transform, times `factor`, and back."""
    detectors = sinogram.shape[-1]
    length = padded_length(detectors)
    bins = np.arange(length // 2 + 1)
    phase = 2 * np.pi * ((np.arange(detectors)[:, None] * bins) % length) / length
    share = np.where((bins == 0) | (bins == length // 2), 1.0, 2.0) / length  # they stand for two
    waves = [torch.from_numpy(wave(phase).astype(np.float32)) for wave in (np.cos, np.sin)]
    scaled = factor * torch.from_numpy(share.astype(np.float32))
    cosines, sines = ((sinogram @ wave) * scaled @ wave.T for wave in waves)
    return cosines + sines


def _backprojected(sinogram: Tensor, plan: ScanPlan) -> Tensor:
    groups = torch.stack(angle_groups(sinogram[:, 0], plan))  # (G, B, base angles, D)
    both = torch.stack((groups, groups.flip(-1)), dim=1)  # read forwards and backwards
    table = F.pad(both.permute(3, 4, 0, 1, 2).flatten(2), (0, 0, 1, 2))
    pixels = plan.half_rows * plan.geometry.image_size
    at_once = max(1, MAX_GATHERED // (pixels * 2 * plan.groups))
    sums = gather_with_torch(table, plan, at_once=at_once)
    return unfold(sums, plan, sinogram.shape[0]).unsqueeze(1)
