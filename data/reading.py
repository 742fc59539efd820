"""Whatever goes wrong while a user's file is read becomes a sentence that names it, here alone.

Damaged and foreign files make libraries raise whatever comes first, so that no list of exceptions
is ever whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from protocol.errors import DataError, UserError

_IN_USE = re.compile("already open for write|locking flag")  # as HDF5 says it


@contextmanager
def reading(
    path: Path,
    kind: str,
    *,
    way: str = "copy or export it again",
    missing: str = "check the path",
) -> Iterator[None]:
    """Read `path` within.

    Args:
        path: the file.
        kind: what it is to be, such as "a NIfTI file".
        way: what to do where it is not.
        missing: what to do where there is no such file.

    Raises:
        DataError: it could not be read. A UserError from within stays as it is.
    """
    try:
        yield
    except UserError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"there is no file {path}; {missing}") from error
    except IsADirectoryError as error:
        raise DataError(f"{path} is a folder, expected {kind}; {way}") from error
    except PermissionError as error:
        raise DataError(f"{path} may not be read by this user; change its permissions") from error
    except MemoryError as error:
        raise DataError(f"{path} needs more memory than there is; make it smaller") from error
    except Exception as error:
        if _IN_USE.search(str(error)):
            raise DataError(
                f"{path} is being written by another program; wait for that, or close it"
            ) from error
        raise DataError(
            f"{path} is truncated or damaged, or not {kind} ({first_line(error)}); {way}"
        ) from error


def first_line(error: BaseException) -> str:
    """The first line of what an exception says, or its name where it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0]
