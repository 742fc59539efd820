"""What a study may be called."""

from __future__ import annotations

import re

from orchestrator.errors import SettingsError


def check_study_name(name: str) -> str:
    """The name, if it can be a folder's and holds no tricks.

    Raises:
        SettingsError: it cannot.
    """
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", name):
        raise SettingsError(
            f"--study_name: found {name!r}, expected letters, digits, `_`, `-` and `.`, "
            "at most 100, beginning with a letter, digit or `_`"
        )
    return name
