"""Constant tensors that operators keep for the process, outside of any module's state."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor


def constant(values: NDArray[Any], dtype: torch.dtype, device: torch.device) -> Tensor:
    """`values` as a tensor on a device, fit to be kept.

    Made in inference mode, a kept tensor could never take part in training.
    """
    with torch.inference_mode(False):
        return torch.tensor(values, dtype=dtype, device=device)
