"""What a command that failed has said of why, in the log."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from protocol.messages import Fault

_TAIL = 64_000  # bytes of a log that are looked at
_SHOWN = 40  # lines of it that are kept where there is no traceback
_OF_RANK = re.compile(r"^\[rank\d+\]: ?", re.MULTILINE)  # which torch puts before its traceback
_TRACEBACK = "Traceback (most recent call last):"
_OF_MEMORY = re.compile(
    r"out of memory|OutOfMemoryError|^MemoryError|RESOURCE_EXHAUSTED|can't allocate memory"
    r"|std::bad_alloc|CUBLAS_STATUS_ALLOC_FAILED|Unable to allocate \d",
    re.MULTILINE | re.IGNORECASE,
)
# Of another process of the same trial: this one only noticed.
_OF_A_PEER = re.compile(
    r"Connection closed by peer|Connection reset by peer|DistBackendError|DistNetworkError"
    r"|DistStoreError|remote process exited|Broken pipe|gloo/transport|EADDRINUSE",
)
_OF_THE_DISK = re.compile(r"No space left on device|Disk quota exceeded")
_OF_A_DEVICE = re.compile(r"uncorrectable ECC error|GPU is lost|fallen off the bus")


@dataclass(frozen=True)
class Said:
    """The end of what was printed, and what it means."""

    error: str  # such as ValueError
    message: str
    text: str  # the traceback, or the last lines
    fault: Fault


def last_words(log: Path, since: int) -> Said:
    """What is printed in `log` from byte `since` on."""
    text = _OF_RANK.sub("", _tail(log, since))
    lines = text.rstrip().splitlines()
    start = max((i for i, line in enumerate(lines) if line.startswith(_TRACEBACK)), default=None)
    if start is None:
        shown, last = lines[-_SHOWN:], lines[-1].strip() if lines else "it printed nothing"
        return Said("Exit", last, "\n".join(shown), _fault(last, "\n".join(shown)))
    end = _end_of_traceback(lines, start)
    name, _, message = lines[end].partition(":")
    error = name.rpartition(".")[2]
    traceback = "\n".join(lines[start : end + 1])
    return Said(error, message.strip() or error, traceback, _fault(lines[end], traceback))


def _end_of_traceback(lines: list[str], start: int) -> int:
    """The line with the exception: the first behind the traceback that is not indented."""
    for index in range(start + 1, len(lines)):
        if lines[index] and not lines[index].startswith((" ", "\t")):
            return index
    return len(lines) - 1


def _fault(last: str, text: str) -> Fault:
    """By the last line, that of the exception; of a lack of memory by all that was said."""
    if _OF_MEMORY.search(text):
        return Fault.MEMORY
    if _OF_THE_DISK.search(last):
        return Fault.DISK
    if _OF_A_DEVICE.search(text):
        return Fault.DEVICE
    return Fault.PEER if _OF_A_PEER.search(last) else Fault.DEFECT


def _tail(log: Path, since: int) -> str:
    with log.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(since, size - _TAIL))
        return stream.read().decode(errors="replace")
