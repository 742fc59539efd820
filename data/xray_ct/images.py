"""X-ray images from PNG, DICOM, torch's .pt and NumPy's .npy, all as grey values in [0, 1]."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data.reading import first_line, reading
from data.scans.dicom import opened
from protocol.errors import DataError

DICOM = ".dcm"
SUFFIXES = (".png", ".pt", ".npy", DICOM)
SMALLEST = 4  # pixels of a side
_RADIOGRAPHS = ("DX", "CR", "RF", "XA", "DR", "RG")
_FULL = {"b1": 1, "u1": 255, "u2": 65535}  # what white is in whole numbers, by NumPy's type
_NUMPY_FLOATS = (torch.float16, torch.float32, torch.float64)


def read_xray(path: Path) -> NDArray[np.float32]:
    """An X-ray image; bright is what absorbs, as bone does.

    Whole numbers of 8 and 16 bits are divided by 255 and 65535; floating-point numbers must be in
    [0, 1]. A leading or trailing axis of one channel is dropped, and so are equal colours. DICOM is
    taken as it is shown: through its window, if it names one, and with bright for what is bright.

    Returns:
        (H, W) float32 in [0, 1].

    Raises:
        DataError: the file is missing, damaged, of another kind, or its values are out of range.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(
            f"{path}: X-rays are read from {', '.join(SUFFIXES)} files, found "
            f"{path.suffix or 'no suffix'!r}; convert it"
        )
    with reading(path, f"a {path.suffix.lower()} image"):
        return unit_image(path, _values(path))


def unit_image(source: Path | str, values: NDArray[Any]) -> NDArray[np.float32]:
    """Stored grey values as (H, W) float32 in [0, 1].

    Raises:
        DataError: they are no image, not finite or out of range; the message names `source`.
    """
    image = _one_channel(values)
    if image is None or min(image.shape) < SMALLEST:
        raise DataError(
            f"{source} has the shape {values.shape}, expected one grey image (rows, columns) of "
            f"at least {SMALLEST} pixels a side"
        )
    full = _FULL.get(image.dtype.newbyteorder("=").str[1:])
    if full is not None:
        return (image / full).astype(np.float32)
    if image.dtype.kind != "f":
        raise DataError(
            f"{source} holds {image.dtype} values, which do not say what white is; expected 8 or "
            "16 bits without a sign, or floating-point numbers from 0 to 1; export it again"
        )
    if not np.isfinite(image).all():
        raise DataError(f"{source} has NaN or infinite pixels; replace them, or leave it out")
    low, high = float(image.min()), float(image.max())
    if low < -1e-3 or high > 1 + 1e-3:
        raise DataError(
            f"{source} has values from {low:g} to {high:g}, expected 0 to 1; divide it by its "
            "largest possible value"
        )
    return np.clip(image, 0, 1).astype(np.float32)


def as_meant(
    view: NDArray[np.float32], *, turn: int = 0, invert: bool = False
) -> NDArray[np.float32]:
    """A stored view upright, and bright where the body absorbs.

    Args:
        view: (H, W) in [0, 1].
        turn: degrees by which it must be turned for that, clockwise.
        invert: whether its grey values must be inverted.
    """
    turned = np.rot90(view, -(turn // 90))
    return np.ascontiguousarray(1 - turned if invert else turned)


def resize_xrays(xrays: Tensor, size: int) -> Tensor:
    """Images resampled to `size`² pixels: bilinear, smoothed first where that makes them smaller.

    Args:
        xrays: (N, H, W) float32.

    Returns:
        (N, size, size) float32; the argument itself if it is of that size.
    """
    if xrays.shape[-2:] == (size, size):
        return xrays
    return torch.nn.functional.interpolate(
        xrays[None], size=(size, size), mode="bilinear", antialias=True, align_corners=False
    )[0].clamp(0, 1)


def _values(path: Path) -> NDArray[Any]:
    kind = path.suffix.lower()
    if kind == ".npy":
        return np.asarray(np.load(path, allow_pickle=False))
    if kind == ".pt":
        return load_tensor(path).numpy()
    if kind == DICOM:
        return _shown(path)
    from PIL import Image

    with Image.open(path, formats=["PNG"]) as image:
        coded = image.mode in ("P", "LA", "RGBA", "1")  # whose numbers are no grey values
        values = np.asarray(image.convert("RGB") if coded else image)
        # Pillow gives the 16 bits that a PNG has at most as 32.
        return values.astype(np.uint16) if values.dtype.itemsize == 4 else values


def _shown(path: Path) -> NDArray[np.float32]:
    """A radiograph's pixels as they are shown, from black (0) to white (1)."""
    from pydicom.pixels.processing import apply_voi_lut

    file = opened(path)
    if file.get("Modality") not in _RADIOGRAPHS:
        raise DataError(
            f"{path} is {file.get('Modality') or 'DICOM without a modality'}, expected a "
            f"radiograph ({', '.join(_RADIOGRAPHS)})"
        )
    shown = np.asarray(apply_voi_lut(file.pixel_array, file), dtype=np.float32)
    low = -(2 ** (int(file.BitsStored) - 1)) if int(file.PixelRepresentation) else 0
    unit = (shown - low) / (2 ** int(file.BitsStored) - 1)
    dark = file.get("PhotometricInterpretation") == "MONOCHROME1"
    return np.clip(1 - unit if dark else unit, 0, 1).astype(np.float32)


def load_tensor(path: Path) -> Tensor:
    """The tensor in a .pt file, mapped rather than read where the file allows it.

    Raises:
        ValueError: the file is missing or damaged, or holds something else.
    """
    try:
        found = _loaded(path)
    except UnpicklingError as error:
        raise ValueError("it is cut short, or holds more than tensors") from error
    except OSError:
        raise
    except Exception as error:  # damaged files make torch raise whatever comes first
        raise ValueError(first_line(error)) from error
    if not isinstance(found, Tensor):
        raise ValueError(f"it holds a {type(found).__name__}, expected a tensor")
    return _plain(found.detach())


def _plain(tensor: Tensor) -> Tensor:
    """The same numbers in a form that NumPy knows."""
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    if tensor.layout is not torch.strided:
        tensor = tensor.to_dense()
    floating = tensor.is_floating_point() and tensor.dtype not in _NUMPY_FLOATS
    return (tensor.float() if floating else tensor).resolve_conj().resolve_neg()


def _loaded(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except RuntimeError as error:
        if "mmap" not in str(error):
            raise
        return torch.load(path, map_location="cpu", weights_only=True)  # torch before 1.6


def _one_channel(values: NDArray[Any]) -> NDArray[Any] | None:
    """(H, W), whatever axes of one channel, or of equal colours, are around it."""
    if values.ndim == 3 and values.shape[0] == 1:
        return values[0]
    if values.ndim == 3 and values.shape[-1] == 1:
        return values[..., 0]
    if values.ndim == 3 and values.shape[-1] == 3:
        equal = (values == values[..., :1]).all()
        return values[..., 0] if equal else None
    return values if values.ndim == 2 else None
