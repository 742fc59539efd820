"""Whose a study and a trial are: a token, not a name, a path or a count.

The token is made when a study begins. study.yml holds it, the database holds it among the study's
attributes, which optuna-dashboard's rename takes along, and every trial's plan names it.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from orchestrator.database.patient import PatientStorage
from protocol.errors import UserError
from protocol.folders import TrialFolder
from protocol.messages import load_plan

IDENTITY = "tomostudy:identity"  # the attribute's name


def name_now(study: optuna.Study) -> str:
    """What the study is called in its database by now.

    Raises:
        StudyGone: it is not there any more.
    """
    return study._storage.get_study_name_from_id(study._study_id)


def new_identity() -> str:
    return uuid.uuid4().hex


def name_at(storage: PatientStorage, name: str, identity: str) -> str:
    """What the study `name` is called in its database: renaming it leaves it what it is."""
    names = storage.names_with(IDENTITY, identity) if identity else []
    return name if name in names else (names or [name])[-1]


def refuse_anothers_folder(folder: TrialFolder, trial: FrozenTrial, identity: str) -> None:
    """Make sure that what lies in a trial's folder was trained for this trial of this study.

    They part when an older copy of the database is put back, which then gives out numbers again
    whose folders hold the training of other parameters. A folder without a plan that can be read
    holds nothing that would be gone on with.

    Args:
        identity: of the study; a plan of an earlier version names none, and its parameters decide.

    Raises:
        UserError: they do not belong together; names both.
    """
    try:
        plan = load_plan(folder.plan)
    except (OSError, ValueError):
        return
    theirs = {key: plan.recipe.given.get(key) for key in plan.searched}
    differing = [key for key, value in trial.params.items() if theirs.get(key, value) != value]
    if plan.study_identity and identity and plan.study_identity != identity:
        problem = f"was trained for another study ({plan.study})"
    elif plan.trial != trial.number:
        problem = f"is that of trial {plan.trial}"
    elif differing:
        there = {key: theirs[key] for key in differing}
        asked = {key: trial.params[key] for key in differing}
        problem = f"was trained with {_told(there)}, and the database asks for {_told(asked)}"
    else:
        return
    raise UserError(
        f"{folder.path} does not belong to trial {trial.number} of the database: it {problem}; "
        f"was an older copy of the database put back? Put back the newer one, or move the folder "
        f"away, as in mv {folder.path} {_aside(folder.path)}"
    )


def _told(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in params.items())


def _aside(path: Path) -> Path:
    return path.with_name(f"{path.name}.aside")
