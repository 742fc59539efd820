"""The tensors in a file of weights, wherever the file came from."""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
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
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError:
        if not _is_plain_archive(path):
            raise
    try:
        return torch.load(path, map_location="cpu", weights_only=False, pickle_module=_WeightsAlone)
    except Exception as error:  # whatever comes of handing nothing to what makes tensors
        raise UnpicklingError(f"its weights depend on other objects: {error}") from error


def _is_plain_archive(path: Path) -> bool:
    """Whether it is a zip file of tensors and one pickle, as `torch.save` writes, and no script."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        names = [PurePosixPath(name).name for name in archive.namelist()]
    return "data.pkl" in names and "constants.pkl" not in names


class _Nothing:
    """What stands for everything in a file but its weights; takes whatever is done to it."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __call__(self, *_: Any, **__: Any) -> _Nothing:
        return self

    def __setstate__(self, _: Any) -> None: ...

    def __setitem__(self, _: Any, __: Any) -> None: ...

    def append(self, _: Any) -> None:
        """As a list's."""

    def extend(self, _: Any) -> None:
        """As a list's."""

    def add(self, _: Any) -> None:
        """As a set's."""


class _WeightsAlone:
    """A module like pickle whose files can name what makes tensors, and nothing else.

    Checkpoints of whole trainings hold objects of the program that wrote them beside the weights.
    Of those nothing is imported, made or called.
    """

    __name__ = "weights alone"

    class Unpickler(pickle.Unpickler):
        """Finds the names in `_TENSOR_NAMES`; all others are `_Nothing`."""

        def find_class(self, module: str, name: str) -> Any:
            return _TENSOR_NAMES.get((module, name), _Nothing)


_TENSOR_NAMES: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
    ("torch._utils", "_rebuild_parameter"): torch._utils._rebuild_parameter,
}


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
