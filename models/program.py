"""What lies between a prepared input's numbers and the result's: tensors in, tensors out.

Reading files and bringing scans into shape come before it, what is done with a result after it;
so that `predict`, `infer` and an exported folder compute the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor, nn

from data.geometry import ParallelGeometry
from data.physics.parallel import MU_MAX

Kind = Literal["sinogram", "brain", "xrays", "own"]


@dataclass(frozen=True, kw_only=True)
class Port:
    """One tensor that goes in or comes out."""

    name: str
    shape: tuple[int, ...]  # of one sample; the batch comes before it
    unit: str
    meaning: str
    low: float | None = None  # the smallest value there is, where there is one
    high: float | None = None


class Program(nn.Module):
    """A trained model with all the arithmetic around it, in evaluation mode.

    The same input gives the same output every time: what is random in a family is fixed here.
    """

    kind: Kind = "own"
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]

    forward: Callable[..., tuple[Tensor, ...]]
    """A tensor (B, …) for each of `inputs` to one for each of `outputs`, all float32."""

    def spare_memory(self) -> bool:
        """Do less at once within a sample, with the same result; False where that cannot be."""
        return False

    def core(self) -> Core:
        """What an export traces: all of it, or the part that a loop runs."""
        return Core(module=self, inputs=tuple(port.name for port in self.inputs))


@dataclass(frozen=True, kw_only=True)
class Core:
    """The part of a program that can be traced as a graph, and the loop around it if there is one.

    The loop's numbers are what `predict.py` of an exported folder needs to run it.
    """

    module: nn.Module  # of tensors (B, …) with one batch
    inputs: tuple[str, ...]
    examples: tuple[Tensor, ...] | None = None  # of the module; None: those of the program
    loop: Mapping[str, Any] = field(default_factory=dict)  # as JSON
    arrays: Mapping[str, Tensor] = field(default_factory=dict)


class SinogramProgram(Program):
    """Sinogram (B, 1, A, D) → image (B, 1, N, N), as in the training's data."""

    kind = "sinogram"

    def __init__(self, geometry: ParallelGeometry) -> None:
        super().__init__()
        self.geometry = geometry
        self.inputs = (
            Port(
                name="sinogram",
                shape=(1, geometry.angles, geometry.detectors),
                unit=f"m, line integrals of attenuation over {MU_MAX} per metre, as LoDoPaB-CT's",
                meaning="a parallel-beam scan: angles, detector cells",
            ),
        )
        self.outputs = (
            Port(
                name="image",
                shape=(1, geometry.image_size, geometry.image_size),
                unit=f"1, attenuation over {MU_MAX} per metre, as LoDoPaB-CT's",
                meaning="the slice: rows along x, columns along y",
            ),
        )


class BrainProgram(Program):
    """Slices and brain masks (B, 1, H, W) → what healthy slices would look like (B, 1, H, W)."""

    kind = "brain"

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        shape = (1, height, width)
        self.inputs = (
            Port(
                name="slices",
                shape=shape,
                unit="1: the share between the volume's percentiles of intensity in the brain",
                meaning="axial slices, zero outside the brain",
                low=0.0,
                high=1.0,
            ),
            Port(
                name="mask", shape=shape, unit="1", meaning="1 inside the brain", low=0.0, high=1.0
            ),
        )
        self.outputs = (
            Port(
                name="reconstruction",
                shape=shape,
                unit="1, as of the slices",
                meaning="the healthy counterpart",
                low=0.0,
                high=1.0,
            ),
        )


class XraysProgram(Program):
    """Front and lateral X-ray (B, 2, S, S) → CT (B, D, H, W) in Hounsfield units."""

    kind = "xrays"

    def __init__(
        self,
        *,
        xray_size: int,
        ct_size: int,
        voxel_size: Tensor,
        hu_window: tuple[float, float],
    ) -> None:
        """Declare the sizes.

        Args:
            voxel_size: (3,) mm, along the volume's axes.
            hu_window: the CT numbers that the model's 0 and 1 stand for.
        """
        super().__init__()
        self.xray_size, self.hu_window = xray_size, hu_window
        depth, height, width = (float(size) for size in voxel_size)
        self.voxel_size = (depth, height, width)  # mm
        low, high = hu_window
        self.inputs = (
            Port(
                name="xrays",
                shape=(2, xray_size, xray_size),
                unit="1: bright where the body absorbs",
                meaning="the front view, then the lateral one, upright",
                low=0.0,
                high=1.0,
            ),
        )
        self.outputs = (
            Port(
                name="volume",
                shape=(ct_size,) * 3,
                unit="HU",
                meaning="from head to feet, from front to back, from the patient's right to left",
                low=low,
                high=high,
            ),
        )

    def hounsfield(self, share: Tensor) -> Tensor:
        """CT numbers (B, D, H, W) of shares of the window (B, 1, D, H, W), which are clamped."""
        low, high = self.hu_window
        return low + (high - low) * share[:, 0].float().clamp(0, 1)
