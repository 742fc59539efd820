"""Are the phantoms in a folder those that are asked for?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from protocol.errors import DataError


def check_same_phantoms(record: Path, settings: BaseModel, key: str = "phantoms") -> None:
    """Refuse phantoms of other settings; a data set that says nothing of itself is the user's.

    Args:
        record: the JSON file of the data set, in its folder, that says how it was made.
        settings: what `data.generate` asks for.
        key: under which the record has the settings that the phantoms were made with.

    Raises:
        DataError: they are of other settings, or the record is damaged.
    """
    root = record.parent
    try:
        recorded: Any = json.loads(record.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    except ValueError as error:
        raise DataError(
            f"{record} is damaged, so what was made here is not known; delete {root} to make it "
            "anew"
        ) from error
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
