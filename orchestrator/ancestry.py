"""Which studies a dependent study descends from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from orchestrator.parent_record import ParentRecord
from orchestrator.study_peek import peek
from orchestrator.trial_folder import StudyFolder


def ancestors(study: StudyFolder) -> Iterator[ParentRecord]:
    """The parents of a study, its own first, as far as their studies are still there to say."""
    seen: set[Path] = set()
    path: Path | None = study.path.resolve()
    while path is not None and path not in seen:
        seen.add(path)
        record = peek(StudyFolder(path)).parent
        if record is not None:
            yield record
        path = Path(record.study).resolve() if record and record.study else None
