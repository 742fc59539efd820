"""Writing files so that a kill at any line leaves either the old content or the new.

Part of the floor: used by the deciding half and by the workers.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, TypeVar

from protocol.errors import UserError

T = TypeVar("T")

_PIECE = 1 << 20  # bytes


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file beside `path`; on success it is synced and takes `path`'s name.

    On an exception, a full disk included, the temporary file goes and `path` stays as it was.
    """
    temporary = partial(path)
    try:
        with temporary.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def partial(path: Path) -> Path:
    """The name beside `path` under which this process writes what is to take its place."""
    return path.with_name(f".{path.name}.{os.getpid()}.partial")


def sweep_partials(folder: Path) -> None:
    """Remove what processes that are gone left half-written in a folder, not below it."""
    # Not `glob`, which takes three times as long: a study has thousands of folders.
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name.startswith(".") and path.name.endswith(".partial"):
            owner = path.name.split(".")[-2]
            if not (owner.isdecimal() and _lives(int(owner))):
                path.unlink(missing_ok=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Replace `path`'s content atomically and durably."""
    with replacing(path) as stream:
        stream.write(text.encode())


def write_json(path: Path, value: Any) -> None:
    """Replace `path` atomically with `value` as indented JSON."""
    write_text(path, json.dumps(value, indent=2, default=str) + "\n")


def append_line(path: Path, line: str, *, sync: bool = False) -> None:
    """Append one line in a single write, so that concurrent writers never interleave.

    A line that a kill or a full disk left half-written is ended first, so that it spoils no other.

    Args:
        path: the file; made where it is not there.
        line: without its newline.
        sync: whether a power cut must not take the line with it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        data = (("\n" if torn else "") + line + "\n").encode()
        if os.write(descriptor, data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        if sync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def look_anew(folder: Path) -> None:
    """Have a network file system ask its server what is in a folder, rather than remember.

    Files that were not there a moment ago stay unseen for up to a minute otherwise.
    """
    with contextlib.suppress(OSError):
        os.close(os.open(folder, os.O_RDONLY | os.O_DIRECTORY))


def link_once(draft: Path, path: Path) -> bool:
    """Give a whole file its name too, unless another has it; False where another has it.

    A network file system whose answer got lost asks once more, and says that the name, which is
    ours by then, is taken.
    """
    try:
        os.link(draft, path)
    except FileExistsError:
        look_anew(path.parent)
        with contextlib.suppress(FileNotFoundError):
            return os.path.samestat(draft.stat(), path.stat())
        return False
    return True


def read_fresh(path: Path) -> str | None:
    """What a small file says that another machine may just have written; None without one."""
    look_anew(path.parent)
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        return None


class LineTail:
    """Reads a growing file's complete new lines; a half-written last line waits."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0

    def new_lines(self) -> list[str]:
        """The complete lines that were appended since the last call."""
        if self._offset == 0:
            look_anew(self.path.parent)
        try:
            with self.path.open("rb") as stream:
                stream.seek(self._offset)
                data = stream.read()
        except FileNotFoundError:
            return []
        end = data.rfind(b"\n") + 1
        self._offset += end
        return whole_lines(data[:end])


def whole_lines(data: bytes) -> list[str]:
    """The lines that a newline ends: text may hold other characters that `splitlines` splits at."""
    return data.decode(errors="replace").split("\n")[:-1]


def read_lines(path: Path, parse: Callable[[str], T]) -> list[T]:
    """What `parse` makes of every whole line of a file, in order; nothing where there is no file.

    A line that it refuses by a ValueError was torn by a kill, before anything followed from it.
    """
    found = []
    for line in whole_lines(path.read_bytes()) if path.exists() else []:
        with contextlib.suppress(ValueError):
            found.append(parse(line))
    return found


def copy_verified(source: Path, target: Path) -> str:
    """Copy a file, read the copy back, and return the SHA-256 of both.

    Raises:
        UserError: what can be read back is not what was written.
    """
    written = hashlib.sha256()
    # Opened once: a running trial may put a newer checkpoint in its place meanwhile.
    with source.open("rb") as reading, replacing(target) as writing:
        while piece := reading.read(_PIECE):
            written.update(piece)
            writing.write(piece)
    if sha256_of(target) != written.hexdigest():
        raise UserError(f"{target} differs from {source} after it was copied: the disk is faulty")
    return written.hexdigest()


def sha256_of(path: Path, *, fresh: bool = True) -> str:
    """The SHA-256 of a file's bytes.

    Args:
        path: the file.
        fresh: read it from the disk, where the system allows that, not from the memory that other
            processes may share; set it where the disk is in doubt.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        if fresh:
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return hashlib.file_digest(stream, "sha256").hexdigest()
