"""Requests to a study: a small file each, until whoever holds the study has taken it up.

A request is posted as runs/<study>/requests/<id>.json. Taking it up renames it to <id>.taken, so
that either this or its withdrawal succeeds; then it is acted on, its answer goes into the journal,
and the file goes. After a kill in between, the next holder finds the file and does the rest: what
is in the journal is not done again, and of what may not be, twice is the same as once.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import socket
import time
from enum import StrEnum
from pathlib import Path
from typing import Any

import psutil
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from protocol.files import append_line, look_anew, read_lines
from protocol.folders import StudyFolder
from protocol.letters import post

_POSTED, _TAKEN = ".json", ".taken"


class What(StrEnum):
    """What can be asked for."""

    STOP = "stop"
    STOP_TRIAL = "stop_trial"
    PAUSE = "pause"
    RESUME = "resume"
    ADD = "add"
    IGNORE = "ignore"
    SET = "set"


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # of a container in which the user has no name
        return str(os.getuid())


class Request(BaseModel):
    """One request."""

    model_config = ConfigDict(frozen=True)

    what: What
    trial: int | None = None
    why: str = ""
    until: float | None = None  # of a pause, in seconds since the epoch
    points: dict[str, dict[str, Any]] = {}  # to be added, each under the place that it comes from
    repeat: int = 1  # times that each point is added
    sets: list[str] = []  # settings to change, as dotted.key=value
    again: bool = False  # a trial that was ignored is to count again
    user: str = Field(default_factory=_user)
    host: str = Field(default_factory=socket.gethostname)
    pid: int = Field(default_factory=os.getpid)
    time: float = Field(default_factory=time.time)  # seconds since the epoch

    @property
    def id(self) -> str:
        """The name of its file: in the order in which they are asked."""
        return f"{round(self.time * 1e6):018d}-{self.host}-{self.pid}"

    @property
    def who(self) -> str:
        return f"{self.user} on {self.host}"

    @property
    def reason(self) -> str:
        """Who asks, and why where that was said."""
        return self.who + (f": {self.why}" if self.why else "")


class Answered(BaseModel):
    """A line of the journal."""

    model_config = ConfigDict(frozen=True)

    id: str
    request: Request | None  # None of one that could not be read
    answer: str  # one sentence
    refused: bool = False
    taken: float = Field(default_factory=time.time)


def ask_for(folder: StudyFolder, request: Request) -> None:
    """Post a request."""
    folder.requests.mkdir(exist_ok=True)
    post(folder.requests / f"{request.id}{_POSTED}", request.model_dump(mode="json"))


def withdraw(folder: StudyFolder, request: Request) -> bool:
    """Take a request back; False where somebody has taken it up."""
    try:
        (folder.requests / f"{request.id}{_POSTED}").unlink()
    except FileNotFoundError:
        return False
    return True


def pending(folder: StudyFolder) -> list[Path]:
    """The requests that are not answered yet, in the order in which they were asked."""
    look_anew(folder.path)
    try:
        paths = list(folder.requests.iterdir())
    except FileNotFoundError:
        return []
    return sorted(p for p in paths if p.suffix in (_POSTED, _TAKEN) and p.name[0] != ".")


def read_request(path: Path) -> Request | None:
    """What a file asks for; None where this version cannot tell."""
    with contextlib.suppress(FileNotFoundError, ValidationError):
        return Request.model_validate_json(path.read_text(errors="replace"))
    return None


def sweep_drafts(folder: StudyFolder) -> None:
    """Remove what commands that were killed on this host were about to post."""
    mine = f".{socket.gethostname()}."
    for draft in folder.requests.glob(".*.partial") if folder.requests.is_dir() else ():
        pid = draft.name.split(".")[-2]
        if mine in draft.name and pid.isdecimal() and not psutil.pid_exists(int(pid)):
            draft.unlink(missing_ok=True)


def take(path: Path) -> Path | None:
    """Take a request up; None where it was withdrawn. The holder of the study alone may do that."""
    try:
        return path.rename(path.with_suffix(_TAKEN))
    except FileNotFoundError:
        return None


def record(folder: StudyFolder, answered: Answered) -> None:
    """Write an answer into the journal."""
    append_line(folder.requests_journal, answered.model_dump_json(), sync=True)


def read_answers(folder: StudyFolder) -> list[Answered]:
    """The journal."""
    look_anew(folder.path)
    return read_lines(folder.requests_journal, Answered.model_validate_json)
