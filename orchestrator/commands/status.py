"""`status`: how a study stands, at any time."""

from __future__ import annotations

import json

from orchestrator.reporting.status import Chosen, look_at, status_json
from orchestrator.study.record import State
from protocol.folders import StudyFolder


def show_status(
    folder: StudyFolder,
    *,
    as_json: bool = False,
    state: State | None = None,
    top: int | None = None,
) -> None:
    """Print how the study in `folder` stands.

    Args:
        folder: the study's.
        as_json: for programs.
        state: only of trials in that state.
        top: only so many trials, the best.

    Raises:
        SettingsError: there is no such study, or its database cannot be read.
    """
    status = look_at(folder)
    chosen = Chosen(state=state, top=top)
    if as_json:
        told = status_json(status, None if chosen == Chosen() else chosen)
        print(json.dumps(told, indent=2, allow_nan=False, default=str))
        return
    from orchestrator.live.console import PatientConsole
    from orchestrator.reporting.status_screen import print_status

    print_status(PatientConsole(), status, chosen)
