"""Commands for the user to type next."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from protocol.folders import StudyFolder

_DEFAULT_RUNS = Path(__file__).resolve().parents[2] / "runs"


@dataclass(frozen=True)
class Commands:
    """Spells commands on one study. A study remembers its settings: its name is enough."""

    folder: StudyFolder
    program: str

    def go_on(self, *more: str) -> str:
        """Run the study, also with other options."""
        return self._spelled([self.program], more)

    def on_study(self, command: str, *more: str) -> str:
        """Another command on the study."""
        return self._spelled([self.program, command], more)

    def _spelled(self, beginning: list[str], more: tuple[str, ...]) -> str:
        options = ["--study_name", self.folder.name]
        runs = self.folder.path.parent
        if runs.resolve() != _DEFAULT_RUNS:
            options += ["--runs_dir", str(runs)]
        return " ".join(shlex.quote(word) for word in [*beginning, *options, *more])


def commands_on(folder: StudyFolder) -> Commands:
    """Commands on the study in `folder`, by the name that this program was called by."""
    by_name = Path(sys.argv[0]).name == "tomostudy"
    return Commands(folder, "tomostudy" if by_name else "./run_study.sh")
