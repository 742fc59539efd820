"""The orchestrator's end of tracking: starts the process, and lets it end."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from orchestrator.tracking.state import Library, log_file
from protocol.folders import StudyFolder

log = logging.getLogger(__name__)

FLUSH_SECONDS = 15.0  # that the process may take to send what is left
_ROOT = Path(__file__).resolve().parents[2]


class Tracker:
    """A process that mirrors the study's trials; it ends when this one closes it, or dies."""

    def __init__(self, process: subprocess.Popen[bytes] | None, sentence: str) -> None:
        self._process = process
        self.sentence = sentence  # what the user should know, or nothing
        self.last_word = ""  # told to the process at the end: what people are to hear, as JSON

    @classmethod
    def start(
        cls,
        folder: StudyFolder,
        library: Library,
        *,
        options: Sequence[str] = (),
        environment: Mapping[str, str],
        sentence: str,
    ) -> Self:
        """Begin to mirror a study by a library.

        Args:
            folder: of the study.
            library: that keeps the runs.
            options: of the process, for it.
            environment: of the process.
            sentence: what the user should know where it has begun.
        """
        try:
            log_file(folder, library).parent.mkdir(parents=True, exist_ok=True)
            process = _launch(folder, library, options, environment)
        except OSError:
            log.exception("tracking could not be started")
            return cls(
                None, f"{library} is not used: its process could not start; see {folder.log}"
            )
        return cls(process, sentence)

    def close(self) -> None:
        """Let the process send what is left, for a bounded time. May be called twice."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        with contextlib.suppress(OSError):  # it has ended by itself
            process.stdin.write(self.last_word.encode() + b"\n")
            process.stdin.close()  # the sign to end
        try:
            process.wait(FLUSH_SECONDS + 5.0)
        except subprocess.TimeoutExpired:
            log.warning("tracking did not end by itself and was killed")
            process.kill()
            process.wait()


def _launch(
    folder: StudyFolder, library: Library, options: Sequence[str], environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    # -P: a folder of the user's must not shadow a package.
    command = [sys.executable, "-P", "-m", "orchestrator.tracking", str(folder.path.absolute())]
    command += [library, "--flush_seconds", str(FLUSH_SECONDS), *options]
    path = environment.get("PYTHONPATH")
    with log_file(folder, library).open("ab") as stream:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=stream,
            stderr=stream,
            env={**environment, "PYTHONPATH": os.pathsep.join(filter(None, (str(_ROOT), path)))},
            start_new_session=True,  # ^C is for the orchestrator, which then closes this one
        )
