"""Data sets of random phantoms, for trying things out: made once, and found again.

What is drawn, and how it is written, each format says.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from data.caches.atomic_folder import build_folder, is_filled
from data.prepare.destination import write_data_set
from data.prepare.fields import PhantomSettings
from data.prepare.telling import Step, silent
from data.reading import reading
from protocol.errors import DataError

Chosen = TypeVar("Chosen", bound=PhantomSettings)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Phantoms(Generic[Chosen]):
    """One format's phantoms."""

    things: str  # what they are, for the log
    write: Callable[[Path, Chosen, Step], None]  # fills a folder with a data set of them
    record: str  # the data set's JSON file that says what it was made with
    key: str = "phantoms"  # under which it does

    def ensure(self, root: Path, settings: Chosen) -> None:
        """Make the data set at `root` unless something is there already.

        Safe to call from several processes at once: one builds, the others wait for it.

        Raises:
            DataError: phantoms of other settings are there, or the folder cannot be written.
        """
        if not is_filled(root):
            _log.info("making %d %s in %s", settings.total, self.things, root)
            build_folder(root, lambda folder: self.write(folder, settings, silent))
        check_same_phantoms(root / self.record, settings, self.key)

    def make(
        self, root: Path, settings: Chosen, *, overwrite: bool = False, step: Step = silent
    ) -> None:
        """Write the data set to `root`, whole or not at all.

        Raises:
            DataError: the folder cannot be written, or was made by another process meanwhile.
        """
        write_data_set(root, lambda folder: self.write(folder, settings, step), overwrite=overwrite)


def check_same_phantoms(record: Path, settings: PhantomSettings, key: str) -> None:
    """Refuse phantoms of other settings; a data set that says nothing of itself is the user's.

    Args:
        record: the JSON file of the data set, in its folder, that says how it was made.
        settings: what `data.generate` asks for.
        key: under which the record has the settings that the phantoms were made with.

    Raises:
        DataError: they are of other settings, or the record is damaged.
    """
    root = record.parent
    way = f"it says what was made here; delete {root} to make it anew"
    with reading(record, "a record in JSON", way=way):
        if not record.exists():
            return
        recorded: Any = json.loads(record.read_text(encoding="utf-8"))
    found = recorded.get(key) if isinstance(recorded, dict) else None
    if not isinstance(found, dict):
        return
    asked = settings.model_dump(mode="json")
    differing = sorted(name for name in found.keys() | asked if found.get(name) != asked.get(name))
    if differing:
        found_text = ", ".join(f"{name} {found.get(name)}" for name in differing)
        asked_text = ", ".join(f"{name} {asked.get(name)}" for name in differing)
        raise DataError(
            f"{root} holds phantoms made with {found_text}, but data.generate asks for "
            f"{asked_text}; delete the folder to make them anew, or name another data.root"
        )
