"""`pause` and `resume`: a study whose devices others need for a while."""

from __future__ import annotations

import datetime
import time

from rich.console import Console

from orchestrator.commands.steering.posted import posted
from orchestrator.steering.requests import Request, What
from protocol.errors import UserError
from protocol.folders import StudyFolder


def pause_study(folder: StudyFolder, until: str | None, why: str, console: Console) -> int:
    """Have no trial train until it is resumed, or until a time.

    Raises:
        UserError: the time cannot be understood, or the study cannot be paused.
    """
    moment = None if until is None else moment_of(until, time.time())
    return posted(folder, Request(what=What.PAUSE, until=moment, why=why), console)


def resume_study(folder: StudyFolder, console: Console) -> int:
    """Have a paused study go on.

    Raises:
        UserError: it cannot be reached.
    """
    return posted(folder, Request(what=What.RESUME), console)


def moment_of(typed: str, now: float) -> float:
    """The next moment at which clocks here show what was typed, in seconds since the epoch.

    Args:
        typed: `07:00`, or `2026-01-31 07:00`.
        now: in seconds since the epoch.

    Raises:
        UserError: it is neither, or past.
    """
    here = datetime.datetime.fromtimestamp(now)
    try:
        if ":" in typed and "-" not in typed:
            clock = datetime.time.fromisoformat(typed)
            if clock.tzinfo is not None:
                raise ValueError
            found = datetime.datetime.combine(here.date(), clock)
            found += datetime.timedelta(days=found.timestamp() <= now)
        else:
            found = datetime.datetime.fromisoformat(typed)
    except ValueError:
        raise UserError(
            f"found {typed!r}, expected a time such as 07:00 or 2026-01-31T07:00", key="--until"
        ) from None
    if found.timestamp() <= now:
        raise UserError(f"{typed} is past; expected a time to come", key="--until")
    return found.timestamp()
