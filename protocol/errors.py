"""The error tree.

    UserError                  the user can mend it: one sentence, no traceback, exit code 2
    ├── SettingsError          a settings file or an option
    ├── DataError              a data set's files
    └── CheckpointError        a checkpoint that cannot be read or trusted
    StudyInUse                 another orchestrator holds the study, exit code 3

Everything else that is raised is a defect of this program and keeps its traceback.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from typing import Any, Self


class UserError(Exception):
    """Something the user can mend: what was found, what was expected, and what to do.

    Args:
        problem: the sentence, without the key.
        key: of the setting or option that is to be mended, as `data.root` or `--split`.
        source: the file or option that set the key.
    """

    def __init__(self, problem: str, *, key: str = "", source: str = "") -> None:
        super().__init__(": ".join(part for part in (source, key, problem) if part))
        self.problem = problem
        self.key = key
        self.source = source

    def at(self, *, key: str | None = None, source: str | None = None) -> Self:
        """This error, with its key or its source known better."""
        return type(self)(
            self.problem,
            key=self.key if key is None else key,
            source=self.source if source is None else source,
        )


class SettingsError(UserError):
    """A key, value or option is wrong; the message names the file and the key's path."""


class DataError(UserError):
    """A data file is missing, truncated or foreign; the message names it."""


class CheckpointError(UserError):
    """A checkpoint is missing or damaged; the message names it."""


class StudyInUse(Exception):
    """Another orchestrator holds the study's lock; the message names its process and host."""


def chain(error: BaseException, *, contexts: bool = True) -> Iterator[BaseException]:
    """An error and what it comes from, each once: causes and contexts can form a circle.

    Args:
        error: the last one raised.
        contexts: whether also what was only being handled counts as where it comes from.
    """
    seen: set[int] = set()
    last: BaseException | None = error
    while last is not None and id(last) not in seen:
        seen.add(id(last))
        yield last
        last = last.__cause__ or (last.__context__ if contexts else None)


def is_full(error: BaseException) -> bool:
    """Whether an error itself says that a disk is full, or a quota used up."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


_KINDS = {kind.__name__: kind for kind in (UserError, SettingsError, DataError, CheckpointError)}


def packed(error: UserError) -> dict[str, str]:
    """An error as JSON, for a pipe between two processes."""
    kind = next(kind for kind in type(error).__mro__ if kind.__name__ in _KINDS)
    fields = {"problem": error.problem, "key": error.key, "source": error.source}
    return {"kind": kind.__name__, **fields}


def unpacked(message: Mapping[str, Any]) -> UserError:
    """The error that `packed` gave, of the same class."""
    kind = _KINDS[message["kind"]]
    return kind(message["problem"], key=message["key"], source=message["source"])
