"""The parallel-beam backprojector as one differentiable operator with its exact transpose."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from data.geometry import ParallelGeometry
from models.blocks.fbp.lerp import gather_angles, scatter_angles
from models.blocks.fbp.scan_plan import ScanPlan, scan_plan
from models.blocks.fbp.symmetry import fold, fold_transpose, unfold, unfold_transpose
from protocol.errors import DataError


def backproject(
    sinogram: Tensor, geometry: ParallelGeometry, *, use_symmetry: bool = True
) -> Tensor:
    """Sum each pixel's linearly interpolated detector readings over all angles.

    b(x, y) = Σ_k p_k(x·cos φ_k + y·sin φ_k), where p_k is zero outside the detector: it falls
    linearly to zero within one cell of the outermost centres. Its gradient is the exact
    transpose. Source: Kak & Slaney, "Principles of Computerized Tomographic Imaging" (1988),
    section 3.3.3, without the angle step.

    Args:
        sinogram: (B, 1, A, D), float32 or float64, on any device.
        geometry: the scan; its angles may be any equidistant set.
        use_symmetry: take the fourfold faster way where the angles allow it.

    Returns:
        (B, 1, N, N) of the sinogram's type, in the sinogram's unit.

    Raises:
        DataError: the sinogram's shape or type does not fit the geometry.
        SettingsError: the geometry is empty.
    """
    check_sinogram(sinogram, geometry)
    plan = scan_plan(geometry, use_symmetry=use_symmetry)
    image: Tensor = _Backproject.apply(sinogram[:, 0], plan)
    return image.unsqueeze(1)


def check_sinogram(sinogram: Tensor, geometry: ParallelGeometry) -> None:
    """Refuse a sinogram that is not (B, 1, A, D) of float32 or float64.

    Raises:
        DataError: with what was found and expected.
    """
    expected = (1, geometry.angles, geometry.detectors)
    if sinogram.ndim != 4 or tuple(sinogram.shape[1:]) != expected:
        raise DataError(
            f"the sinogram has shape {tuple(sinogram.shape)}, but the geometry needs "
            f"(batch, {', '.join(map(str, expected))})"
        )
    if sinogram.dtype not in (torch.float32, torch.float64):
        raise DataError(f"the sinogram is {sinogram.dtype}, but must be float32 or float64")


class _Backproject(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, sinogram: Tensor, plan: ScanPlan) -> Tensor:
        ctx.plan = plan
        batch = sinogram.shape[0]
        return unfold(gather_angles(fold(sinogram, plan), plan), plan, batch)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        plan: ScanPlan = ctx.plan
        table = scatter_angles(unfold_transpose(grad, plan), plan)
        return fold_transpose(table, plan, grad.shape[0]), None
