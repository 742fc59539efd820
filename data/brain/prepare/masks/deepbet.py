"""The brain in a T1 head by deepbet, a trained network whose weights come with its package.

Source: Fisch et al., "deepbet: Fast brain extraction of T1-weighted MRI using Convolutional Neural
Networks", Comput. Biol. Med. 179 (2024). It is an extra: `pip install 'tomostudy[deepbet]'`.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocol.errors import SettingsError


def deepbet_mask(image: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The brain's voxels.

    Args:
        image: (Z, H, W), upright, of voxels of equal sides.

    Raises:
        SettingsError: deepbet is not installed.
    """
    network: Any = _package().BrainExtraction(no_gpu=True)
    to_right = np.ascontiguousarray(np.transpose(image, (2, 1, 0))[::-1, ::-1])
    found = network.postprocess(network.run_model(to_right) > 0.5)
    return np.ascontiguousarray(np.transpose(found[::-1, ::-1], (2, 1, 0)) > 0)


def _package() -> Any:
    try:
        return importlib.import_module("deepbet")
    except ImportError as error:
        raise SettingsError(
            f"deepbet is not installed ({error}); `pip install 'tomostudy[deepbet]'`, or choose "
            "another",
            key="--mask_method",
        ) from error
