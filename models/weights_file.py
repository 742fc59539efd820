"""The tensors in a file of weights, wherever the file came from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from protocol.errors import SettingsError

Tensors = dict[str, Tensor]


def read_tensors(path: Path, *, key: str, without: str) -> Tensors:
    """The tensors of a .safetensors file, or of the most filled mapping in a torch file.

    Args:
        path: of the file.
        key: the setting that named it, for errors.
        without: what leaving it out is for, likewise.

    Raises:
        SettingsError: there is no such file, it cannot be read, or it has no tensors.
    """
    if not path.is_file():
        raise SettingsError(
            f"there is no file {path}; mend the path, or set it to null {without}", key=key
        )
    try:
        content = _read(path)
    except (OSError, RuntimeError, ValueError, EOFError, UnpicklingError) as error:
        reason = str(error).strip().split("\n")[0]
        raise SettingsError(
            f"{path} cannot be read ({reason}); expected a "
            ".safetensors file, or a torch file of tensors alone",
            key=key,
        ) from error
    tensors = _fullest(content)
    if not tensors:
        raise SettingsError(f"{path} holds no named tensors", key=key)
    return tensors


def _read(path: Path) -> Any:
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(str(error)) from error
    return torch.load(path, map_location="cpu", weights_only=True)


def _fullest(content: Any) -> Tensors:
    """The mapping with the most named tensors: checkpoints keep it under one key or another."""
    if not isinstance(content, Mapping):
        return {}
    here = {
        name: value
        for name, value in content.items()
        if isinstance(name, str) and isinstance(value, Tensor)
    }
    return max([here, *(_fullest(value) for value in content.values())], key=len)
