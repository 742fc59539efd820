"""Checkpoint files that say when they are damaged.

The file is torch.save of {"sha256": hex, "content": {...}}. The digest covers every tensor's
type, shape and bytes and everything else, because a flipped byte or a zeroed page otherwise loads
without a word.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import IO, Any, cast

import torch
from torch import Tensor

from protocol.errors import CheckpointError
from protocol.files import replacing
from protocol.folders import RunFolder


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Replace `path` atomically and durably.

    Args:
        content: dictionaries, lists and tuples of tensors, numbers, strings and None.

    Raises:
        CheckpointError: the disk is full; what was there is untouched.
        TypeError: something in `content` cannot be stored safely.
    """
    with _full_disk_told(path), replacing(path) as stream:
        _write(stream, content)


def save_last(folder: RunFolder, content: dict[str, Any]) -> None:
    """Make `content` the training's last checkpoint and the one that was there the previous.

    Whenever this is killed, a whole `last.pth` remains.
    """
    with _full_disk_told(folder.last), replacing(folder.last) as stream:
        _write(stream, content)
        # Only a new checkpoint that is safely on the disk may push the old one back.
        stream.flush()
        os.fsync(stream.fileno())
        _keep_as_previous(folder)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint, with tensors on the CPU.

    Raises:
        CheckpointError: there is none, or it is damaged or of another program.
    """
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path}")
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler may stumble over anything in a damaged file
        raise CheckpointError(
            f"{path} is damaged or cannot be read: {_first_sentence(error)}"
        ) from error
    if not (isinstance(saved, dict) and saved.keys() == {"sha256", "content"}):
        raise CheckpointError(f"{path} is not a checkpoint of this program: it has no checksum")
    content: dict[str, Any] = saved["content"]
    if digest(content) != saved["sha256"]:
        raise CheckpointError(f"{path} is damaged: its content does not match its checksum")
    return content


def digest(content: Any) -> str:
    """The SHA-256 of nested containers, told apart by type, order and length."""
    sha = hashlib.sha256()
    _feed(sha, content)
    return sha.hexdigest()


def _feed(sha: hashlib._Hash, value: Any) -> None:
    if isinstance(value, Tensor):
        sha.update(f"tensor {value.dtype} {tuple(value.shape)}:".encode())
        flat = value.detach().cpu().contiguous().reshape(-1)
        sha.update(flat.view(torch.uint8).numpy().data)
    elif isinstance(value, dict):
        sha.update(f"dict {len(value)}:".encode())
        for key, item in value.items():
            _feed(sha, key)
            _feed(sha, item)
    elif isinstance(value, list | tuple):
        sha.update(f"{type(value).__name__} {len(value)}:".encode())
        for item in value:
            _feed(sha, item)
    elif type(value) in (NoneType, bool, int, float, str):  # not their subclasses, as NumPy's
        text = repr(value).encode()
        sha.update(f"{type(value).__name__} {len(text)}:".encode() + text)
    else:
        raise TypeError(f"a checkpoint cannot hold a {type(value).__name__}: {value!r}")


def _write(stream: IO[bytes], content: dict[str, Any]) -> None:
    guarded = _RememberingStream(stream)
    try:
        torch.save({"sha256": digest(content), "content": content}, cast(IO[bytes], guarded))
    except RuntimeError as error:
        # torch's own writer hides what the operating system said.
        raise guarded.error or error from error


def _keep_as_previous(folder: RunFolder) -> None:
    if not folder.last.exists():
        return
    try:
        spare = folder.previous.with_name(f".{folder.previous.name}.{os.getpid()}.partial")
        with contextlib.suppress(FileNotFoundError):
            spare.unlink()
        os.link(folder.last, spare)
        spare.replace(folder.previous)
    except OSError:  # a file system without links: for a moment there is a `previous` alone
        folder.last.replace(folder.previous)


@contextlib.contextmanager
def _full_disk_told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise CheckpointError(
            f"{error.strerror}: {path} could not be written, and is as it was before; "
            "make room and run the same command again"
        ) from error


def _first_sentence(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


class _RememberingStream(io.RawIOBase):
    """Passes writes on, and keeps the error of one that failed."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.error: OSError | None = None
        self._stream = stream

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        try:
            return self._stream.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self._stream.flush()
