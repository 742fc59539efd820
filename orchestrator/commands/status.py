"""`status`: how a study stands, at any time."""

from __future__ import annotations

import json

from orchestrator.reporting.status import look_at, status_json
from protocol.folders import StudyFolder


def show_status(folder: StudyFolder, *, as_json: bool = False) -> None:
    """Print how the study in `folder` stands.

    Raises:
        SettingsError: there is no such study, or its database cannot be read.
    """
    status = look_at(folder)
    if as_json:
        print(json.dumps(status_json(status), indent=2, allow_nan=False, default=str))
        return
    from orchestrator.live.console import PatientConsole
    from orchestrator.reporting.status_screen import print_status

    print_status(PatientConsole(), status)
