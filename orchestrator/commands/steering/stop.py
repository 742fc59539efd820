"""`stop`: end a study's search, or one trial of it, from another shell."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from orchestrator.commands.steering.posted import posted
from orchestrator.running.session import DONE
from orchestrator.steering.asking import ask, wait_for_end
from orchestrator.steering.requests import Request, What
from orchestrator.steering.steering import ENDED
from protocol.folders import StudyFolder


def stop_study(folder: StudyFolder, why: str, console: Console) -> int:
    """End the search as ^C in its shell would, and wait until it has ended.

    Raises:
        UserError: there is no such study, or its orchestrator does not answer.
    """

    def say(sentence: str) -> None:
        console.print(Text(sentence), soft_wrap=True)

    answer = ask(folder, Request(what=What.STOP, why=why), say)
    say(f"Study {folder.name}: {answer}")
    if answer != ENDED:
        wait_for_end(folder, say)
        say(
            f"Study {folder.name} has stopped; the command that began it goes on with its trials "
            "from their last checkpoints"
        )
    return DONE


def stop_trial(folder: StudyFolder, number: int, why: str, console: Console) -> int:
    """End one trial, which counts as pruned with what it has.

    Raises:
        UserError: there is no such study or trial, it has ended, or the orchestrator does not
            answer.
    """
    return posted(folder, Request(what=What.STOP_TRIAL, trial=number, why=why), console)
