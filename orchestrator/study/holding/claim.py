"""A hold on a study that counts on every host which sees its folder, with a sign of life.

The kernel's lock on runs/<study>/lock ends with its holder, but network file systems need not tell
other hosts of it. So the holder also has a file there, which it alone can have made, and writes
into it every few seconds. Whoever finds such a file of another host asks Slurm, where the holder is
a job, or else watches for a sign of life.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from orchestrator.launcher.slurm.ask import Away, Refused, ask, fields_of
from protocol.errors import StudyInUse
from protocol.files import link_once, look_anew, read_fresh

BEAT_SECONDS = 10.0  # between two signs of life
SILENT_SECONDS = 35.0  # without one, after which a holder is taken for dead
_LOOK_SECONDS = 0.5  # between two looks for one
_LINE = 512  # bytes, so that each sign of life takes the place of the one before


class Claim:
    """The file `path`, held by this process.

    Args:
        path: beside the lock, whose holder alone may claim.
        record: who this is: host, pid, and the job where it is one.
        in_use: the error for a study that somebody else works on, by his record.
        say: tells people a sentence.
    """

    def __init__(
        self,
        path: Path,
        record: dict[str, Any],
        in_use: Callable[[dict[str, Any]], StudyInUse],
        say: Callable[[str], None],
    ) -> None:
        self._path, self._record, self._in_use, self._say = path, record, in_use, say
        self._beats = 0
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        """Claim.

        Raises:
            StudyInUse: somebody on another host has it, and lives.
        """
        draft = self._beside("partial")
        self._descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            self._beat()
            while not self._made(draft):
                self._clear()
        except BaseException:
            os.close(self._descriptor)
            raise
        finally:
            draft.unlink(missing_ok=True)
        self._thread = threading.Thread(target=self._live, name="sign of life", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        if self.holds:
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)

    @property
    def holds(self) -> bool:
        """Whether the file is still this process's: a host that was suspended may be taken over."""
        look_anew(self._path.parent)
        try:
            return os.path.samestat(os.fstat(self._descriptor), self._path.stat())
        except FileNotFoundError:
            return False

    def _beside(self, last: str) -> Path:
        """A file of this process's alone: hosts number theirs alike."""
        host, pid = self._record["host"], self._record["pid"]
        return self._path.with_name(f".{self._path.name}.{host}.{pid}.{last}")

    def _made(self, draft: Path) -> bool:
        try:
            return link_once(draft, self._path)
        except FileNotFoundError:  # who works on the study now has tidied its folder
            raise self._in_use(_read(self._path) or {}) from None

    def _clear(self) -> None:
        """Take a dead holder's file away.

        Raises:
            StudyInUse: he lives.
        """
        other = _read(self._path)
        if other is None or self._is_earlier(other):
            pass
        elif (why := dead(self._path, other, self._say)) is None:
            raise self._in_use(other)
        else:
            self._say(why)
        gone = self._beside("gone.partial")
        with contextlib.suppress(FileNotFoundError):  # somebody else was faster
            if _read(self._path) != other:
                return  # he has a new one now
            self._path.rename(gone)
            gone.unlink()

    def _is_earlier(self, other: dict[str, Any]) -> bool:
        """Whether he was before this process where there can be but one.

        On this host, where the lock is ours, or in the same job, which Slurm has queued again.
        """
        job = self._record.get("job")
        return other.get("host") == self._record["host"] or (
            job is not None and other.get("job") == job
        )

    def _live(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            with contextlib.suppress(OSError):  # a disk that is away for a moment
                self._beat()

    def _beat(self) -> None:
        self._beats += 1
        told = {**self._record, "beat": self._beats, "time": time.time()}
        os.pwrite(self._descriptor, json.dumps(told).ljust(_LINE - 1).encode() + b"\n", 0)
        os.fsync(self._descriptor)


def dead(path: Path, other: dict[str, Any], say: Callable[[str], None]) -> str | None:
    """How it is known that a holder on another host is dead; None while he lives.

    Args:
        path: of his claim.
        other: what it said a moment ago.
        say: tells people a sentence.
    """
    who = f"process {other.get('pid')} on {other.get('host')}"
    if (job := other.get("job")) and (state := _state_of(job)) is not None:
        if state in ("RUNNING", "COMPLETING", "SUSPENDED", "STOPPED"):
            return None
        return f"{who}, which worked on this study, is gone: Slurm says {state} of job {job}"
    say(
        f"{who} was the last to work on this study, which cannot be asked from here: watching "
        f"for a sign of life for {SILENT_SECONDS:g} s"
    )
    deadline = time.monotonic() + SILENT_SECONDS
    while time.monotonic() < deadline:
        now = _read(path)
        if now is None:
            return f"{who} has left"
        if now != other:
            return None
        time.sleep(_LOOK_SECONDS)
    return (
        f"{who} is taken for dead: no sign of life for {SILENT_SECONDS:g} s, where one every "
        f"{BEAT_SECONDS:g} s is due; should its host have been suspended, that run ends as it "
        "wakes"
    )


def dead_elsewhere(path: Path, say: Callable[[str], None]) -> bool:
    """Whether who claimed `path` did so on another host, and is dead; says how that is known."""
    other = _read(path)
    if other is None or other.get("host") == socket.gethostname():
        return False
    why = dead(path, other, say)
    if why is not None:
        say(why)
    return why is not None


def this_process() -> dict[str, Any]:
    """By what a holder is known on other hosts."""
    # In a shell of salloc's as well there is a job, but its end is not that of its processes.
    job = os.environ.get("SLURM_JOB_ID") if "SLURMD_NODENAME" in os.environ else None
    return {"pid": os.getpid(), "host": socket.gethostname(), **({"job": job} if job else {})}


def _read(path: Path) -> dict[str, Any] | None:
    text = read_fresh(path)
    if text is None:
        return None
    with contextlib.suppress(ValueError):
        found: dict[str, Any] = json.loads(text)
        return found
    return {}


def _state_of(job: str) -> str | None:
    """What Slurm says of a job; None where it cannot be asked."""
    try:
        fields = fields_of(ask("scontrol", "--oneliner", "show", "job", job))
    except Refused as refused:
        return "GONE" if "invalid job id" in str(refused).lower() else None
    except Away:
        return None
    return fields.get("JobState")
