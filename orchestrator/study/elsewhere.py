"""Who works on a study, as its database knows: also where no lock file of this machine says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.study.lock import Holder, live_holder
from orchestrator.study.peek import peek
from protocol.folders import StudyFolder

if TYPE_CHECKING:
    from orchestrator.database.exclusive import StudyInDatabase


def refuse_holder_elsewhere(folder: StudyFolder) -> None:
    """Make sure that nobody works on the study in `folder` from another machine or folder.

    Raises:
        StudyInUse: somebody does; names process and host.
        SettingsError: its database cannot be asked.
    """
    lock = _lock_in_database(folder)
    if lock is None:
        return
    holder = lock.holder()
    if holder is not None:
        raise lock.in_use(holder)


def holder_of(folder: StudyFolder) -> Holder | None:
    """Who works on the study, by its lock file and its database; None when nobody does.

    Raises:
        SettingsError: its database cannot be asked.
    """
    lock = _lock_in_database(folder)
    working = None if lock is None else lock.holder()
    if working is None:
        return live_holder(folder.lock)
    return Holder(working.pid, working.host, working.start)


def _lock_in_database(folder: StudyFolder) -> StudyInDatabase | None:
    known = peek(folder)
    if known.url is None or not known.identity:
        return None
    from orchestrator.database.address import address
    from orchestrator.database.exclusive import StudyInDatabase, knows_locks

    url = address(known.url)
    return StudyInDatabase(url, folder.name, known.identity) if knows_locks(url) else None
