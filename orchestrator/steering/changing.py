"""Other settings for a study that was begun: into study.yml and the journal, then in effect.

Whoever holds the study takes them from there, so that a kill at any line leaves the earlier
settings or the new ones, and typing the command once more changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import optuna
from optuna.trial import TrialState

from orchestrator.settings.checks import Checked, check_at_once
from orchestrator.settings.layers import Layers, leaves, parsed_set, validate
from orchestrator.settings.schema import Settings
from orchestrator.settings.space import Space
from orchestrator.steering.requests import Request
from orchestrator.study.journal import note, read_journal
from orchestrator.study.study_file import (
    StudyFile,
    changed_keys,
    refuse_other_meaning,
    write_study_file,
)
from protocol.errors import SettingsError
from protocol.folders import StudyFolder
from protocol.recipe import TrainingRecipe

Check = Callable[[Settings, Layers], Checked]

LATER = (  # sections that a search goes by as it was started
    "preset",
    "devices",
    "parallel_trials",
    "launcher",
    "threads",
    "storage",
    "tracking",
    "notify",
    "yield_to_others",
    "enqueue",
)
_SPACE = ("search", "recipe")


def change(
    folder: StudyFolder, study: optuna.Study, known: StudyFile, request: Request, check: Check
) -> str:
    """Give a study other settings; the answer.

    Args:
        check: has the family look at them, where the space is another.

    Raises:
        SettingsError: they are wrong, or earlier trials would not be comparable; names each key.
    """
    old = known.settings
    layers = Layers()
    layers.add(old.model_dump(mode="json"), str(folder.settings))
    for entry in request.sets:
        layers.add(parsed_set(entry, "set"), "set")
    new = validate(layers)
    if new.storage.url != old.storage.url:
        raise SettingsError(
            "a study is moved while nobody runs it: copy it, and name the place when it is "
            "started, as in --set storage.url=…",
            key="storage.url",
        )
    check_at_once(new, layers)
    refuse_other_meaning(folder, known, new)
    taken = new if known.parent is None else known.parent.given_to(new, folder)
    if any(getattr(old, section) != getattr(new, section) for section in _SPACE):
        space = check(taken, layers).space
    else:
        space = _space(folder, taken)
    asked = known.asked.steered_by(request.sets)
    write_study_file(folder, known.model_copy(update={"asked": asked, "settings": new}))
    begun = sum(t.state is not TrialState.WAITING for t in study.get_trials(deepcopy=False))
    note(folder, taken, space, begun)
    return _told(old, new, request)


def _space(folder: StudyFolder, settings: Settings) -> Space:
    entries = read_journal(folder)
    defaults = entries[-1].values if entries else TrainingRecipe().model_dump()
    return Space.of(settings.search, settings.recipe, defaults)


def _told(old: Settings, new: Settings, request: Request) -> str:
    """What is in effect now; the same once more after a kill."""
    after = leaves(new.model_dump(mode="json"))
    keys = [entry.partition("=")[0].strip() for entry in request.sets]
    told = [f"{key} is {_value(key, after)}" for key in dict.fromkeys(keys)]
    later = {key.partition(".")[0] for key in [*keys, *changed_keys(old, new)]} & {*LATER}
    if later:
        told.append(
            f"a search that runs takes {', '.join(sorted(later))} up when it is started again"
        )
    return "; ".join(told)


def _value(key: str, after: dict[str, object]) -> str:
    if key in after:
        return str(after[key])
    below = {name: value for name, value in after.items() if name.startswith(f"{key}.")}
    if not below:
        return "not set"
    shown = (f"{name.removeprefix(key)[1:]}={value}" for name, value in below.items() if value)
    return ", ".join(shown)
