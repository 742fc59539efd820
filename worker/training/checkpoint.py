"""Checkpoint files that say when they are damaged, and which two hold the same training.

torch.load finds {"sha256": hex, "digest": hex, "content": {...}}. `digest` is the SHA-256
of what training alone decides: every tensor's type, shape and bytes, the optimiser, schedule,
progress and random numbers, but neither times nor paths nor attempts, so that two runs of one trial
have the same. `sha256` is that of `digest` and everything else, because a flipped byte or a zeroed
page otherwise loads without a word; so every byte is hashed once. Files of version 0.2.0 have no
`digest`, and a `sha256` of the whole content.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import NoneType
from typing import IO, Any

import torch
from torch import Tensor

from protocol.errors import CheckpointError, is_full
from protocol.files import partial, replacing
from protocol.folders import RunFolder
from worker.training.archive import Archive

# What training decides of a checkpoint; of the progress all but the event to be told.
_TRAINED = ("model", "epoch", "metrics", "training")
_TOLD = "validated"


def save_checkpoint(path: Path, content: dict[str, Any]) -> str:
    """Replace `path` atomically and durably; the digest of what training decides of it.

    Args:
        content: dictionaries, lists and tuples of tensors, numbers, strings and None.

    Raises:
        CheckpointError: the disk is full; what was there is untouched.
        TypeError: something in `content` cannot be stored safely.
    """
    with _full_disk_told(path), replacing(path) as stream:
        return _write(stream, content)


def save_last(folder: RunFolder, content: dict[str, Any]) -> str:
    """Make `content` the training's last checkpoint and the one that was there the previous.

    Whenever this is killed, a whole `last.pth` remains.
    """
    with _full_disk_told(folder.last), replacing(folder.last) as stream:
        trained = _write(stream, content)
        # Only a new checkpoint that is safely on the disk may push the old one back.
        stream.flush()
        os.fsync(stream.fileno())
        _keep_as_previous(folder)
    return trained


def load_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint, with tensors on the CPU.

    Raises:
        CheckpointError: as `read_checkpoint`.
    """
    return read_checkpoint(path)[0]


def read_checkpoint(path: Path) -> tuple[dict[str, Any], str]:
    """A checkpoint's content, with tensors on the CPU, and its digest, both found to be whole.

    Raises:
        CheckpointError: there is none, or it is damaged or of another program.
    """
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path}")
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        ours = isinstance(saved, dict) and saved.keys() - {"digest"} == {"sha256", "content"}
        trained = _checked(saved) if ours else None
    except Exception as error:  # whoever reads a damaged file may stumble over anything
        # Of torch's own words some advise to load it unsafely.
        why = getattr(error, "strerror", None) or type(error).__name__
        raise CheckpointError(
            f"{path} is damaged, or no checkpoint: it cannot be read ({why})"
        ) from error
    if not ours:
        raise CheckpointError(f"{path} is not a checkpoint of this program: it has no checksum")
    if trained is None:
        raise CheckpointError(f"{path} is damaged: its content does not match its checksum")
    return saved["content"], trained


def _checked(saved: dict[str, Any]) -> str | None:
    """The digest of what training decided; None where the checksum is of something else."""
    trained, rest = _digests(saved["content"])
    found = rest if "digest" in saved else digest(saved["content"])
    whole = found == saved["sha256"] and trained == saved.get("digest", trained)
    return trained if whole else None


_Hashed = Callable[[memoryview], Any]
_Row = Callable[[Tensor, _Hashed], Any]  # has a tensor's numbers hashed, in the order of its axes


def _hash_row(tensor: Tensor, hashed: _Hashed) -> None:
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    hashed(flat.view(torch.uint8).numpy().data)


def _digests(content: dict[str, Any], row: _Row = _hash_row) -> tuple[str, str]:
    """Of what training decides of a content, and of everything."""
    trained = {name: content[name] for name in _TRAINED if name in content}
    rest = {name: value for name, value in content.items() if name not in trained}
    if "training" in trained:
        progress = dict(content["training"]["progress"])
        rest[_TOLD] = progress.pop(_TOLD, None)
        trained["training"] = content["training"] | {"progress": progress}
    found = digest(trained, row)
    return found, digest([found, rest], row)


def digest(content: Any, row: _Row = _hash_row) -> str:
    """The SHA-256 of nested containers, told apart by type, order and length."""
    sha = hashlib.sha256()
    _feed(sha, content, row)
    return sha.hexdigest()


def _feed(sha: hashlib._Hash, value: Any, row: _Row) -> None:
    if isinstance(value, Tensor):
        sha.update(f"tensor {value.dtype} {tuple(value.shape)}:".encode())
        row(value, sha.update)
    elif isinstance(value, dict):
        sha.update(f"dict {len(value)}:".encode())
        for key, item in value.items():
            _feed(sha, key, row)
            _feed(sha, item, row)
    elif isinstance(value, list | tuple):
        sha.update(f"{type(value).__name__} {len(value)}:".encode())
        for item in value:
            _feed(sha, item, row)
    elif type(value) in (NoneType, bool, int, float, str):  # not their subclasses, as NumPy's
        text = repr(value).encode()
        sha.update(f"{type(value).__name__} {len(text)}:".encode() + text)
    else:
        raise TypeError(f"a checkpoint cannot hold a {type(value).__name__}: {value!r}")


def _write(stream: IO[bytes], content: dict[str, Any]) -> str:
    with Archive(stream) as archive:
        trained, sha256 = _digests(content, archive.add)
        archive.end({"sha256": sha256, "digest": trained, "content": content})
    return trained


def _keep_as_previous(folder: RunFolder) -> None:
    if not folder.last.exists():
        return
    try:
        spare = partial(folder.previous)
        with contextlib.suppress(FileNotFoundError):
            spare.unlink()
        os.link(folder.last, spare)
        spare.replace(folder.previous)
        spare.unlink(missing_ok=True)  # which after a kill is the same file, and then stays
    except OSError:  # a file system without links: for a moment there is a `previous` alone
        folder.last.replace(folder.previous)


@contextlib.contextmanager
def _full_disk_told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if not is_full(error):
            raise
        raise CheckpointError(
            f"{error.strerror}: {path} could not be written, and is as it was before; "
            "make room and run the same command again"
        ) from error
