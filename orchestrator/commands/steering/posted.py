"""What every command does that asks something of a study."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from orchestrator.running.session import DONE
from orchestrator.steering.asking import ask
from orchestrator.steering.requests import Request
from protocol.folders import StudyFolder


def posted(folder: StudyFolder, request: Request, console: Console) -> int:
    """Have a request taken up, and print the answer; the exit code.

    Raises:
        UserError: it is refused, or whoever holds the study does not answer.
    """
    answer = ask(folder, request, lambda said: console.print(Text(said), soft_wrap=True))
    console.print(Text(f"Study {folder.name}: {answer}"), soft_wrap=True)
    return DONE
