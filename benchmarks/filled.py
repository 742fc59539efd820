"""Studies of many trials, made in seconds: rows as a search leaves them, without the search."""

from __future__ import annotations

import itertools
import json
import random
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import distribution_to_json
from optuna.trial import FrozenTrial, TrialState, create_trial

from orchestrator.settings.schema import Settings
from orchestrator.settings.space import distribution
from orchestrator.study.storage import open_study
from protocol.folders import StudyFolder

EPOCHS = 5
SEARCH = {
    "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
    "frequency_scaling": {"low": 0.4, "high": 1.0},
    "plateau_factor": {"low": 0.1, "high": 0.7},
    "batch_size": {"choices": [1, 2, 4, 8, 16]},
    "loss": {"choices": ["mse", "l1"]},
}
_BEGUN = datetime(2026, 1, 1)
_NOTE = "## Complete\n\nall epochs were trained\n\n" + "| best error | 0.1234 |\n" * 20


def settings_of(pruner: str = "none", **changes: Any) -> Settings:
    """Of a study with five searched keys, without conditions."""
    given = {
        "preset": "benchmark",
        "family": "benchmarks/noop.py:Noop",
        "objective": {"metric": "error", "direction": "minimize"},
        "data": {},
        "recipe": {"epochs": EPOCHS},
        "pruner": {"kind": pruner},
        "n_trials": 1_000_000,
        "search": SEARCH,
    }
    return Settings.model_validate(given | changes)


def value_of(params: dict[str, Any], epoch: int = EPOCHS) -> float:
    """What an epoch of a trial comes to."""
    numbers = [value for value in params.values() if isinstance(value, float)]
    return sum(abs(value - 0.3) for value in numbers) + 1.0 / epoch


def past_trials(count: int, seed: int = 0) -> Iterator[FrozenTrial]:
    """Trials that have ended; one in five was pruned."""
    chance = random.Random(seed)
    settings = settings_of()
    space = {key: distribution(spec) for key, spec in settings.search.items()}
    for number in range(count):
        params = {key: _drawn(chance, found) for key, found in space.items()}
        pruned = number % 5 == 4
        epochs = range(1, EPOCHS if pruned else EPOCHS + 1)
        trial = create_trial(
            state=TrialState.PRUNED if pruned else TrialState.COMPLETE,
            value=value_of(params, epochs[-1]),
            params=params,
            distributions=space,
            intermediate_values={epoch: value_of(params, epoch) for epoch in epochs},
            system_attrs={"tpe:relative_params:0": json.dumps(params)},
        )
        trial.number = number
        trial.datetime_start = _BEGUN + timedelta(seconds=10 * number)
        trial.datetime_complete = trial.datetime_start + timedelta(seconds=9)
        yield trial


def _drawn(chance: random.Random, found: Any) -> Any:
    if isinstance(found, optuna.distributions.CategoricalDistribution):
        return chance.choice(found.choices)
    return chance.uniform(found.low, found.high)


def our_study(place: Path, trials: int) -> StudyFolder:
    """A study's folder whose database holds `trials` trials as this program leaves them."""
    folder = StudyFolder(place)
    folder.path.mkdir(parents=True)
    study = open_study(folder, None, "minimize")
    number = study._study_id
    del study
    rows = (_with_our_attributes(trial) for trial in past_trials(trials))
    _insert(folder.database, number, rows, notes=True)
    return folder


def fill(folder: StudyFolder, trials: int, search: Collection[str]) -> None:
    """Give a study that has one trial, and searches these of the keys, as many as `trials`."""
    with closing(sqlite3.connect(folder.database)) as connection:
        ((number, study),) = connection.execute("SELECT trial_id, study_id FROM trials")
    rows = []
    for trial in itertools.islice(past_trials(trials), 1, None):
        for key in trial.params.keys() - search:
            del trial._params[key], trial._distributions[key]
        rows.append(_with_our_attributes(trial))
    _insert(folder.database, study, rows, notes=True, first=number + 1)


def bare_database(place: Path, trials: int) -> str:
    """The URL of an SQLite database as Optuna alone leaves it, its study called `bare`."""
    url = f"sqlite:///{place}"
    study = optuna.create_study(storage=url, study_name="bare")
    _insert(place, study._study_id, past_trials(trials), notes=False)
    return url


def memory_study(trials: int, **options: Any) -> optuna.Study:
    """The same trials in Optuna's memory."""
    study = optuna.create_study(**options)
    for trial in past_trials(trials):
        study.add_trial(trial)
    return study


def _with_our_attributes(trial: FrozenTrial) -> FrozenTrial:
    number, last = trial.number, trial.last_step
    seen = {"finished": f"0-{number - 1}" if number else "", "running": "", "settings": 0}
    attributes = {
        "visible": seen,
        "outcome_sha256": f"{number:064x}",
        "ending": "pruned" if trial.state is TrialState.PRUNED else "completed",
        "reason": "all epochs were trained",
        "epoch": last,
        "best_epoch": last,
        "attempts": 1,
        "ledger": {"kept": 8.5, "waiting": 0.5, "lasted": 9.0, "peak": 2**28},
        "metrics": {"error": trial.value, "psnr": 30.0, "ssim": 0.9},
    }
    trial.user_attrs.update(attributes)
    trial.system_attrs["tomostudy:made"] = f"{number:036x}"
    return trial


def _insert(
    database: Path, study: int, trials: Iterable[FrozenTrial], *, notes: bool, first: int = 1
) -> None:
    """Write finished trials into Optuna's tables, in one transaction."""
    connection = sqlite3.connect(database)
    add = connection.execute
    for place, trial in enumerate(trials, start=first):
        add(
            "INSERT INTO trials VALUES (?, ?, ?, ?, ?, ?)",
            (
                place,
                trial.number,
                study,
                trial.state.name,
                str(trial.datetime_start) + ".000000",
                str(trial.datetime_complete) + ".000000",
            ),
        )
        add(
            "INSERT INTO trial_values(trial_id, objective, value, value_type) "
            "VALUES (?, 0, ?, 'FINITE')",
            (place, trial.value),
        )
        for key, value in trial.params.items():
            found = trial.distributions[key]
            add(
                "INSERT INTO trial_params(trial_id, param_name, param_value, distribution_json) "
                "VALUES (?, ?, ?, ?)",
                (place, key, found.to_internal_repr(value), distribution_to_json(found)),
            )
        for step, value in trial.intermediate_values.items():
            add(
                "INSERT INTO trial_intermediate_values"
                "(trial_id, step, intermediate_value, intermediate_value_type) "
                "VALUES (?, ?, ?, 'FINITE')",
                (place, step, value),
            )
        for table, found in (("user", trial.user_attrs), ("system", trial.system_attrs)):
            for key, value in found.items():
                add(
                    f"INSERT INTO trial_{table}_attributes(trial_id, key, value_json) "
                    "VALUES (?, ?, ?)",
                    (place, key, json.dumps(value)),
                )
        if notes:
            for key, value in (
                (f"dashboard:{place}:note_ver", 1),
                (f"dashboard:{place}:note_str:0", _NOTE),
            ):
                add(
                    "INSERT INTO study_system_attributes(study_id, key, value_json) "
                    "VALUES (?, ?, ?)",
                    (study, key, json.dumps(value)),
                )
    connection.commit()
    connection.close()
