"""A checkpoint's file, whose bytes are hashed and written in one pass.

It is what torch.save writes, but that the tensors come first and what holds them last, so that this
can name hashes of them. torch.load finds both by their names in the archive.
"""

from __future__ import annotations

import io
import pickle
import shutil
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import torch
from torch import Tensor
from torch.storage import _dtype_to_storage_type_map

_FOLDER = "archive"  # within the file, as torch calls it
_SMALL = 1 << 10  # bytes; heads of entries have fewer
_PIECE = 1 << 20  # bytes that are hashed, checked and written while they are in the cache


class Archive:
    """Writes to a stream; leave its context without an exception to end the file."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._zip = zipfile.ZipFile(stream, "w")
        self._kept: dict[int, tuple[Tensor, str]] = {}  # by id, which a living object keeps

    def __enter__(self) -> Archive:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if kind is not None:
            self._zip.fp = None  # there is nothing to be ended in what is thrown away
        self._zip.close()

    def add(self, tensor: Tensor, hashed: Callable[[memoryview], Any]) -> None:
        """Write a tensor's bytes, unless they are there, and have them `hashed` as a row of it."""
        host = tensor.detach().cpu()
        row = host.contiguous()
        if id(tensor) in self._kept:
            hashed(_bytes(row))
            return
        key = str(len(self._kept))
        self._kept[id(tensor)] = tensor, key
        dense = _dense(host)
        with self._entry(f"data/{key}", dense.nbytes) as entry:
            for piece in _pieces(_bytes(dense)):
                if dense is row:
                    hashed(piece)
                entry.write(piece)
        if dense is not row:
            hashed(_bytes(row))

    def end(self, content: Any) -> None:
        """Write what holds the tensors."""
        pickled = io.BytesIO()
        _Pickler(pickled, self._kept).dump(content)
        for name, data in (
            ("data.pkl", pickled.getvalue()),
            ("byteorder", sys.byteorder.encode()),
            ("version", b"3\n"),
        ):
            with self._entry(name, len(data)) as entry:
                entry.write(data)

    def _entry(self, name: str, size: int) -> IO[bytes]:
        return _open(self._zip, f"{_FOLDER}/{name}", size)


def is_as_written(path: Path) -> bool:
    """Whether every byte of an archive is as it was written, those included that say nothing.

    It is written again from its entries, whose sums zipfile checks, and compared on the way. A
    file of torch.save, as version 0.2.0 has them, counts as it is.

    Raises:
        OSError: it cannot be read.
    """
    try:
        return _equals_itself(path)
    except OSError:
        raise
    except Exception:  # zipfile has no end of them for damaged files
        return False


def _equals_itself(path: Path) -> bool:
    with path.open("rb") as stream, zipfile.ZipFile(path) as found:
        entries = found.infolist()
        if entries[0].filename.endswith("data.pkl"):  # which torch.save writes first
            return True
        compared = _Compared(stream)
        with zipfile.ZipFile(compared, "w") as again:
            for old in entries:
                with found.open(old) as data, _open(again, old.filename, old.file_size) as entry:
                    shutil.copyfileobj(data, entry, _PIECE)
        return compared.is_same()


class _Compared(io.RawIOBase):
    """A file to write to, which keeps nothing but whether another one holds the same."""

    def __init__(self, other: IO[bytes]) -> None:
        self._other, self._at, self._end, self._same = other, 0, 0, True
        self._small: dict[int, bytes] = {}  # by offset: zipfile comes back to the heads of entries

    def write(self, data: Any) -> int:
        if len(data) > _SMALL:
            self._same &= self._read(self._at, len(data)) == data
        else:
            self._small[self._at] = bytes(data)
        self._at += len(data)
        self._end = max(self._end, self._at)
        return len(data)

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + (0, self._at, self._end)[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def is_same(self) -> bool:
        small = all(self._read(at, len(data)) == data for at, data in self._small.items())
        return self._same and small and not self._read(self._end, 1)

    def _read(self, at: int, size: int) -> bytes:
        self._other.seek(at)
        return self._other.read(size)


def _open(archive: zipfile.ZipFile, name: str, size: int) -> IO[bytes]:
    return archive.open(zipfile.ZipInfo(name), "w", force_zip64=size >= zipfile.ZIP64_LIMIT)


class _Stored:
    """A tensor's bytes in the archive."""

    def __init__(self, key: str, dtype: torch.dtype, numbers: int) -> None:
        self.key, self.dtype, self.numbers = key, dtype, numbers


class _Pickler(pickle.Pickler):
    """Writes tensors as torch does, as references to records."""

    def __init__(self, stream: IO[bytes], kept: dict[int, tuple[Tensor, str]]) -> None:
        super().__init__(stream, protocol=2)  # torch's
        self._kept = kept

    def reducer_override(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return NotImplemented
        stored = _Stored(self._kept[id(value)][1], value.dtype, value.numel())
        stride = _dense(value).stride()
        hooks: OrderedDict[str, Any] = OrderedDict()
        layout = (stored, 0, tuple(value.shape), stride, False, hooks)
        return torch._utils._rebuild_tensor_v2, layout

    def persistent_id(self, value: Any) -> Any:
        if not isinstance(value, _Stored):
            return None
        kind = getattr(torch, _dtype_to_storage_type_map()[value.dtype])
        return "storage", kind, value.key, "cpu", value.numbers


def _dense(tensor: Tensor) -> Tensor:
    """The same numbers without gaps, in the order in which they lie in memory where they have none.

    Channels may come last, which a resumed training keeps.
    """
    without_gaps = torch.empty_like(tensor, device="meta").stride() == tensor.stride()
    return tensor if without_gaps else tensor.contiguous()


def _bytes(dense: Tensor) -> memoryview:
    flat = dense.as_strided((dense.numel(),), (1,))
    return flat.view(torch.uint8).numpy().data


def _pieces(data: memoryview) -> list[memoryview]:
    return [data[start : start + _PIECE] for start in range(0, len(data), _PIECE)]
