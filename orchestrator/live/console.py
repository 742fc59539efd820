"""A console that nobody may be reading any more: what is shown never decides how a run ends."""

from __future__ import annotations

import os
import sys

from rich.console import Console


class PatientConsole(Console):
    """Rich's console, which falls silent where rich would end the program.

    The reader may have gone (`| head`), the terminal be closed, the disk under a redirection full.
    """

    def on_broken_pipe(self) -> None:
        self._fall_silent()

    def _check_buffer(self) -> None:
        try:
            super()._check_buffer()
        except OSError:
            self._buffer.clear()
            self._fall_silent()

    def _fall_silent(self) -> None:
        self.quiet = True
        if self.file is sys.stdout:  # what is left in its buffer would be an error at the end
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)
