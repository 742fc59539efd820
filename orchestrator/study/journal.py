"""runs/<study>/journal.jsonl: every settings that a study was run with, in order.

study.yml has the latest alone; samplers, pruners, ranges and budgets may change while a study goes
on. What was asked and decided names its line here, so that it can be recomputed.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from orchestrator.settings.schema import Settings
from orchestrator.settings.space import Space
from protocol.files import append_line, read_lines
from protocol.folders import StudyFolder


class Entry(BaseModel):
    """One settings, with all that proposals follow from."""

    model_config = ConfigDict(frozen=True)

    from_trial: int  # the first trial that was begun under it
    settings: Settings
    values: dict[str, Any]  # of every key where it is not searched, the family's defaults included

    @property
    def space(self) -> Space:
        """The search space that held."""
        found = self.settings
        return Space(search=found.search, fixed=found.recipe, values=self.values)


def note(folder: StudyFolder, settings: Settings, space: Space, from_trial: int) -> int:
    """The line of the journal that has these settings; appended where the last one differs."""
    entries = read_journal(folder)
    entry = Entry(from_trial=from_trial, settings=settings, values=dict(space.values))
    if entries and _content(entries[-1]) == _content(entry):
        return len(entries) - 1
    append_line(folder.journal, entry.model_dump_json(), sync=True)
    return len(entries)


def read_journal(folder: StudyFolder) -> list[Entry]:
    """Every whole line; none of a study that kept no journal."""
    return read_lines(folder.journal, Entry.model_validate_json)


def _content(entry: Entry) -> dict[str, Any]:
    return entry.model_dump(mode="json", exclude={"from_trial"})
