"""What the system says when it cannot do what it is asked, as a sentence for who can mend it."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

from protocol.errors import UserError, chain, is_full

_DENIED = (errno.EACCES, errno.EPERM)
_OPEN = (errno.EMFILE, errno.ENFILE)
_DRIVE = (errno.EROFS, errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENODEV, errno.EHOSTDOWN)
_DATABASE = (
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
)


def trouble_of(error: BaseException) -> UserError | None:
    """The sentence for a disk, a permission or a database; None for a defect of this program."""
    # Of what was only being handled: another's failure does not make a defect the user's matter.
    for cause in chain(error, contexts=False):
        if isinstance(cause, UserError):
            return cause
        if isinstance(cause, OSError) and (sentence := _sentence(cause)) is not None:
            return UserError(sentence)
        if isinstance(cause, sqlite3.Error) and primary_code(cause) in _DATABASE:
            return UserError(f"the study's database cannot be used: {cause}")
    return None


def primary_code(error: sqlite3.Error) -> int:
    """SQLite's result code of an error, without what extends it."""
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)) & 0xFF


def _sentence(error: OSError) -> str | None:
    place = str(error.filename) if error.filename else "a file of this study"
    if is_full(error):
        where = f"the disk that holds {error.filename}" if error.filename else "the disk"
        return (
            f"{where} is full ({error.strerror}); free some space and type the same command again"
        )
    if error.errno in _DENIED:
        return f"{place} may not be used by you: {error.strerror}{_owner(place)}"
    if error.errno in _OPEN:
        return f"{place} cannot be opened: {error.strerror}; raise that limit, as in ulimit -n 4096"
    if error.errno in _DRIVE:
        return f"{place} cannot be read or written: {error.strerror}"
    return None


def _owner(place: str) -> str:
    """Whose it is, or the nearest folder above it that can be seen."""
    path = Path(place)
    for shown in (path, *path.parents):
        try:
            return f"; {shown} belongs to {shown.owner()}"
        except (OSError, KeyError):
            continue
    return ""
