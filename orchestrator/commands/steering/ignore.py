"""`ignore`: a trial that counts for nothing any more, such as one of wrong data."""

from __future__ import annotations

from rich.console import Console

from orchestrator.commands.steering.posted import posted
from orchestrator.steering.requests import Request, What
from orchestrator.study.find import require_study
from protocol.folders import StudyFolder


def ignore_trial(folder: StudyFolder, number: int, why: str, again: bool, console: Console) -> int:
    """Have a trial ignored, or count again.

    Raises:
        UserError: there is no such study or trial, or its orchestrator does not answer.
    """
    require_study(folder)
    request = Request(what=What.IGNORE, trial=number, why=why, again=again)
    return posted(folder, request, console)
