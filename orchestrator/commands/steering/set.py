"""`set`: other settings for a study that was begun, such as a larger budget or a larger space."""

from __future__ import annotations

from rich.console import Console

from orchestrator.commands.steering.posted import posted
from orchestrator.settings.layers import parsed_set
from orchestrator.steering.requests import Request, What
from orchestrator.study.find import require_study
from protocol.folders import StudyFolder


def set_settings(folder: StudyFolder, sets: list[str], why: str, console: Console) -> int:
    """Have settings changed.

    Raises:
        UserError: they are wrong or would make trials incomparable, or the study cannot be reached.
    """
    require_study(folder)
    for entry in sets:  # what is no key=value is told without a look at the study
        parsed_set(entry, "set")
    return posted(folder, Request(what=What.SET, sets=sets, why=why), console)
