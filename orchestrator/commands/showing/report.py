"""`report`: all that a study found, as one page."""

from __future__ import annotations

import logging
from pathlib import Path

from orchestrator.reporting.screen import near
from orchestrator.study.find import require_study
from protocol.errors import SettingsError
from protocol.files import write_text
from protocol.folders import StudyFolder

log = logging.getLogger(__name__)


def report_study(folder: StudyFolder, out: Path | None) -> None:
    """Write the report, and say where.

    Raises:
        SettingsError: there is no such study, or the page cannot be written there.
    """
    require_study(folder)
    path = checked(out or folder.report)
    write_report(folder, path)
    print(f"The report of study {folder.name} is in {near(path)}; open it in a browser.")


def write_report(folder: StudyFolder, path: Path) -> None:
    """Write the report, whole or not at all.

    Raises:
        SettingsError: there is no such study, or its database cannot be read.
    """
    from orchestrator.showing.look import look
    from orchestrator.showing.report import report

    write_text(path, report(look(folder)))


def try_to_report(folder: StudyFolder) -> bool:
    """Write the report at the end of a search, whose result does not depend on it."""
    try:
        write_report(folder, folder.report)
    except Exception:
        log.exception("the report could not be written")
        return False
    return True


def checked(out: Path) -> Path:
    """A place for a page.

    Raises:
        SettingsError: nothing can be written there.
    """
    if out.suffix.lower() not in (".html", ".htm"):
        raise SettingsError(f"found {out}, expected a name.html", key="--out")
    if not out.absolute().parent.is_dir():
        raise SettingsError(
            f"there is no folder {out.absolute().parent}; make it first", key="--out"
        )
    return out
