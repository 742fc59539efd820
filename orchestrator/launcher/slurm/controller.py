"""Talking to Slurm without waiting for it: one thread asks, the orchestrator's loop looks.

A controller that is busy answers in minutes, one that is being restarted not at all; trials are
followed meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from orchestrator import words
from orchestrator.launcher.slurm.ask import Away, Refused, ask
from orchestrator.launcher.slurm.squeue import JobState, QueueWatcher

_LEAST_SECONDS = 1.0  # between two looks
_SHARE = 20  # times as long as an answer takes nobody asks again: Slurm has others to serve
_MOST_SECONDS = 60.0  # between two looks
_AWAY_SECONDS = 5.0  # from a look without an answer to the next
_SILENT_SECONDS = 20.0  # without an answer, after which people are told


class Controller:
    """The cluster's controller, as one orchestrator knows it.

    Args:
        say: tells people a sentence.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._watcher = QueueWatcher()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="slurm")
        self._looking: Future[float] | None = None
        self._next_look = 0.0
        self._silent = False
        self._unanswered: float | None = None  # since when
        self.looks = 0  # answered so far

    def register(self, number: str) -> None:
        """Follow a job, also when squeue does not list it any more."""
        self._watcher.register_job(number)
        self._next_look = 0.0

    @property
    def states(self) -> dict[str, JobState]:
        """Every job's last known state, by Slurm's number."""
        return self._watcher.states

    def named(self, name: str) -> JobState | None:
        """The job that bears a name, if it was seen; the latest of several."""
        found = [state for state in list(self.states.values()) if state.name == name]
        return max(found, key=lambda state: (len(state.id), state.id), default=None)

    def look(self) -> None:
        """Take note of an answer that has come, and ask again when it is time; never blocks."""
        if self._looking is not None and self._looking.done():
            seconds, self._looking = self._looking.result(), None
            pause = min(max(_LEAST_SECONDS, _SHARE * seconds), _MOST_SECONDS)
            if self._watcher.trouble:
                pause = min(pause, _AWAY_SECONDS)
            else:
                self.looks += 1
                self._unanswered = None
            self._next_look = time.monotonic() + pause
        if self._looking is None and time.monotonic() >= self._next_look:
            self._looking = self._thread.submit(self._timed_look)
            self._unanswered = self._unanswered or time.monotonic()
        self._tell_of_silence()

    def _timed_look(self) -> float:
        began = time.monotonic()
        self._watcher.update()
        return time.monotonic() - began

    def _tell_of_silence(self) -> None:
        silent = 0.0 if self._unanswered is None else time.monotonic() - self._unanswered
        if silent > _SILENT_SECONDS and not self._silent:
            why = f": {self._watcher.trouble}" if self._watcher.trouble else ""
            self._say(f"Slurm has not answered for {words.duration(silent)}{why}; waiting for it")
            self._silent = True
        elif silent <= _SILENT_SECONDS and self._silent:
            self._say("Slurm answers again")
            self._silent = False

    def do(self, action: Callable[[], Any]) -> Future[Any]:
        """Have the thread do something, after what it was asked before."""
        return self._thread.submit(action)

    def cancel(self, numbers: list[str]) -> Future[None]:
        """End jobs; those that are over already are no trouble."""
        return self.do(lambda: _cancel(numbers))

    def close(self) -> None:
        """Wait for nothing more."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def _cancel(numbers: list[str]) -> None:
    for attempt in range(5):
        try:
            ask("scancel", "--quiet", *numbers)
        except Refused:
            return
        except Away:
            time.sleep(1 + attempt)
        else:
            return
