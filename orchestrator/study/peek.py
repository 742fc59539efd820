"""What those who only look need of a study's settings, without validating all of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from orchestrator.study.parent_record import ParentRecord, record_in
from protocol.folders import StudyFolder

# libyaml's takes a tenth of the time, where PyYAML was built with it.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, kw_only=True)
class Peek:
    """A few of the settings; None where study.yml is missing or says nothing."""

    metric: str | None = None
    n_trials: int | None = None
    epochs: int | None = None  # of a trial, over all its folds, where the recipe fixes them
    prunes: bool = True
    url: str | None = None  # of another database than the study's own
    identity: str = ""  # of a study of an earlier version
    parent: ParentRecord | None = None  # of a dependent study


def peek(folder: StudyFolder) -> Peek:
    """Look into study.yml; one that is damaged is the `run` command's to complain about."""
    content = study_yaml(folder)
    settings = _section(content, "settings")
    metric = _section(settings, "objective").get("metric")
    n_trials = settings.get("n_trials")
    url = _section(settings, "storage").get("url")
    epochs, folds = _section(settings, "recipe").get("epochs"), settings.get("folds", 1)
    known = isinstance(epochs, int) and isinstance(folds, int)
    identity = content.get("identity")
    return Peek(
        metric=metric if isinstance(metric, str) else None,
        n_trials=n_trials if isinstance(n_trials, int) else None,
        epochs=epochs * folds if known else None,
        prunes=_section(settings, "pruner").get("kind") != "none",
        url=url if isinstance(url, str) else None,
        identity=str(identity) if isinstance(identity, str) else "",
        parent=record_in(_section(content, "parent") or None),
    )


def study_yaml(folder: StudyFolder) -> dict[str, Any]:
    """study.yml as it is, also that of an earlier version; empty where it cannot be read."""
    try:
        content = yaml.load(folder.settings.read_text(), Loader=_LOADER)
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}


def _section(content: dict[str, Any], name: str) -> dict[str, Any]:
    section = content.get(name)
    return section if isinstance(section, dict) else {}


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
