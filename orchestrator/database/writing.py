"""What a step of a trial's way changes in the database, written in one transaction or not at all.

Optuna commits each parameter, attribute and value on its own; that costs a wait for the disk each
time, and a kill in between leaves a step half-done. Rows are written as Optuna writes them. SQLite
keeps its write-ahead log and `synchronous=FULL`: with NORMAL a commit would not wait for the disk,
and a power cut could take what was acted on already.
"""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    check_distribution_compatibility,
    distribution_to_json,
    json_to_distribution,
)
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, Insert, Table, bindparam, func, select, update
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.orm import Session

_TRIALS: Table = models.TrialModel.__table__
_OF_TRIAL = (
    select(_TRIALS.c.study_id, _TRIALS.c.state)
    .where(_TRIALS.c.trial_id == bindparam("trial"))
    .with_for_update()
)
_COUNT = select(func.count()).where(_TRIALS.c.study_id == bindparam("study"))
_UPDATE = update(_TRIALS).where(_TRIALS.c.trial_id == bindparam("trial"))

NEW = -1  # the id, or number, of a trial that is in no study yet


@dataclass(kw_only=True)
class Changes:
    """Of one trial, and of its study as far as they belong to that trial."""

    begins: bool = False  # it was waiting, and is running from now on
    user_attrs: dict[str, Any] = field(default_factory=dict)
    system_attrs: dict[str, Any] = field(default_factory=dict)
    params: dict[str, tuple[float, BaseDistribution]] = field(default_factory=dict)
    intermediate_values: dict[int, float] = field(default_factory=dict)
    study_system_attrs: dict[str, Any] = field(default_factory=dict)
    ends: TrialState | None = None
    values: list[float] | None = None
    time: datetime = field(default_factory=datetime.now)  # of its beginning or end

    @classmethod
    def of_state(cls, state: TrialState, values: Sequence[float] | None) -> Changes:
        """What Optuna's call for states comes to."""
        begins = state is TrialState.RUNNING
        told = None if values is None else list(values)
        return cls(begins=begins, ends=None if begins else state, values=told)


class Crossed(Exception):
    """Somebody else has begun the trial that was to begin, or taken the number of a new one."""


def carry_out(
    session: Session,
    trial: int,
    changes: Changes,
    distributions: Mapping[str, BaseDistribution],
) -> None:
    """Write all changes of a trial into an open transaction.

    Args:
        trial: its id.
        distributions: those of keys that are known to be in the study, which new ones must fit.

    Raises:
        KeyError: there is no such trial.
        UpdateFinishedTrialError: it has ended.
        Crossed: it was to begin, and has begun.
        ValueError: a parameter's distribution does not fit that of earlier trials.
    """
    connection = _begun(session)
    study = _lock(connection, trial, begins=changes.begins)
    _put_all(connection, study, trial, changes, distributions)
    _set_state(connection, trial, changes)


def created(
    session: Session,
    study: int,
    template: FrozenTrial,
    system_attrs: Mapping[str, Any],
    distributions: Mapping[str, BaseDistribution],
) -> FrozenTrial:
    """Add a trial to a study in an open transaction.

    Args:
        template: what it is to be; under the number that it has, if it was made for one.
        system_attrs: more of them.
        distributions: those of keys that are known to be in the study, which new ones must fit.

    Raises:
        KeyError: there is no such study.
        Crossed: somebody else has taken its number.
    """
    connection = _begun(session)
    models.StudyModel.find_or_raise_by_id(study, session, for_update=True)
    number = int(connection.scalar(_COUNT, {"study": study}) or 0)
    if template._trial_id == NEW and template.number not in (number, NEW):
        raise Crossed(template.number)
    inserted = connection.execute(
        _TRIALS.insert(),
        {
            "number": number,
            "study_id": study,
            "state": template.state,
            "datetime_start": _utc(template.datetime_start),
            "datetime_complete": _utc(template.datetime_complete),
        },
    )
    changes = Changes(
        user_attrs=template.user_attrs,
        system_attrs={**template.system_attrs, **system_attrs},
        params={
            key: (found.to_internal_repr(template.params[key]), found)
            for key, found in template.distributions.items()
        },
        intermediate_values=template.intermediate_values,
        values=template.values,
    )
    assert inserted.inserted_primary_key is not None
    identity = int(inserted.inserted_primary_key[0])
    _put_all(connection, study, identity, changes, distributions)
    blank = copy.copy(template)
    blank.number, blank._trial_id = number, identity
    return changed(blank, changes)


def _begun(session: Session) -> Connection:
    """A transaction in which what is looked at stays as it is until the end."""
    connection = session.connection()
    if connection.dialect.name == "sqlite":  # which knows no FOR UPDATE
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    return connection


def _lock(connection: Connection, trial: int, *, begins: bool) -> int:
    """Make sure that a trial may be changed, until the transaction ends; its study's id."""
    found = connection.execute(_OF_TRIAL, {"trial": trial}).one_or_none()
    if found is None:
        raise KeyError(models.NOT_FOUND_MSG)
    if found.state.is_finished():
        raise UpdateFinishedTrialError(f"trial {trial} has ended and cannot be changed any more")
    if begins and found.state is not TrialState.WAITING:
        raise Crossed(trial)
    return int(found.study_id)


def _put_all(
    connection: Connection,
    study: int,
    trial: int,
    changes: Changes,
    distributions: Mapping[str, BaseDistribution],
) -> None:
    _put(connection, models.TrialUserAttributeModel, trial, _attributes(changes.user_attrs))
    _put(connection, models.TrialSystemAttributeModel, trial, _attributes(changes.system_attrs))
    _add_params(connection, study, trial, changes.params, distributions)
    _put(connection, models.TrialIntermediateValueModel, trial, _curve(changes.intermediate_values))
    _put(connection, models.TrialValueModel, trial, _objectives(changes.values))
    _put(
        connection, models.StudySystemAttributeModel, study, _attributes(changes.study_system_attrs)
    )


def _attributes(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value_json": json.dumps(value)} for key, value in found.items()]


def _curve(found: Mapping[int, float]) -> list[dict[str, Any]]:
    stored = models.TrialIntermediateValueModel.intermediate_value_to_stored_repr
    rows = ((step, *stored(value)) for step, value in found.items())
    return [
        {"step": step, "intermediate_value": value, "intermediate_value_type": kind}
        for step, value, kind in rows
    ]


def _objectives(found: Sequence[float] | None) -> list[dict[str, Any]]:
    stored = models.TrialValueModel.value_to_stored_repr
    rows = ((index, *stored(value)) for index, value in enumerate(found or ()))
    return [{"objective": index, "value": value, "value_type": kind} for index, value, kind in rows]


def _put(connection: Connection, model: Any, owner: int, rows: list[dict[str, Any]]) -> None:
    """Insert rows, or replace those under the same key: every such table has a unique pair."""
    if not rows:
        return
    of, key, statement = _upsert(model, connection.dialect.name)
    given = [{of: owner, **row} for row in rows]
    if statement is None:
        table: Table = model.__table__
        for row in given:
            connection.execute(table.delete().where(table.c[of] == owner, table.c[key] == row[key]))
        statement = table.insert()
    connection.execute(statement, given)


@functools.cache
def _upsert(model: Any, dialect: str) -> tuple[str, str, Insert | None]:
    """The columns whose pair is unique in a table, and an insert that replaces, if there is one."""
    table: Table = model.__table__
    of = "study_id" if "study_id" in table.c else "trial_id"
    key = next(name for name in ("key", "step", "objective") if name in table.c)
    (number,) = table.primary_key
    changing = [column.name for column in table.c if column.name not in (of, key, number.name)]
    match dialect:
        case "sqlite" | "postgresql":
            insert = (sqlite if dialect == "sqlite" else postgresql).insert(table)
            new = {name: insert.excluded[name] for name in changing}
            return of, key, insert.on_conflict_do_update(index_elements=[of, key], set_=new)
        case "mysql" | "mariadb":
            put = mysql.insert(table)
            new = {name: put.inserted[name] for name in changing}
            return of, key, put.on_duplicate_key_update(new)
    return of, key, None


def _add_params(
    connection: Connection,
    study: int,
    trial: int,
    params: Mapping[str, tuple[float, BaseDistribution]],
    known: Mapping[str, BaseDistribution],
) -> None:
    if not params:
        return
    earlier = {**_distributions(connection, study, params.keys() - known.keys()), **known}
    for key, (_, distribution) in params.items():
        if key in earlier and not _has_grown(earlier[key], distribution):
            check_distribution_compatibility(earlier[key], distribution)
    connection.execute(
        models.TrialParamModel.__table__.insert(),
        [
            {
                "trial_id": trial,
                "param_name": key,
                "param_value": value,
                "distribution_json": distribution_to_json(distribution),
            }
            for key, (value, distribution) in params.items()
        ],
    )


def _has_grown(earlier: BaseDistribution, distribution: BaseDistribution) -> bool:
    """Whether one list of choices begins with the other: each trial keeps that of its time.

    Optuna takes a value for a choice by its place, which is the same in both.
    """
    if not isinstance(earlier, CategoricalDistribution):
        return False
    if not isinstance(distribution, CategoricalDistribution):
        return False
    pairs = zip(earlier.choices, distribution.choices, strict=False)
    return all(repr(one) == repr(other) for one, other in pairs)


def _distributions(
    connection: Connection, study: int, keys: Iterable[str]
) -> dict[str, BaseDistribution]:
    """The first one that the study has of each key."""
    trials, params = models.TrialModel.__table__, models.TrialParamModel.__table__
    found = {}
    for key in keys:
        text = connection.scalar(
            select(params.c.distribution_json)
            .join(trials, trials.c.trial_id == params.c.trial_id)
            .where(trials.c.study_id == study, params.c.param_name == key)
            .limit(1)
        )
        if text is not None:
            found[key] = json_to_distribution(text)
    return found


def _set_state(connection: Connection, trial: int, changes: Changes) -> None:
    state = changes.ends or (TrialState.RUNNING if changes.begins else None)
    if state is None:
        return
    time = "datetime_complete" if changes.ends else "datetime_start"
    connection.execute(_UPDATE, {"trial": trial, "state": state, time: _utc(changes.time)})


def _utc(time: datetime | None) -> datetime | None:
    """As Optuna stores a time: in UTC, and naive."""
    return None if time is None else time.astimezone(UTC).replace(tzinfo=None)


def changed(trial: FrozenTrial, changes: Changes) -> FrozenTrial:
    """The trial as it would be read after `changes` were written."""
    now = own_copy(trial)
    now.user_attrs.update(_as_stored(changes.user_attrs))
    now.system_attrs.update(_as_stored(changes.system_attrs))
    now.intermediate_values.update(changes.intermediate_values)
    for key, (value, distribution) in changes.params.items():
        now.params[key] = distribution.to_external_repr(value)
        now.distributions[key] = distribution
    if changes.begins:
        now.state, now.datetime_start = TrialState.RUNNING, changes.time
    if changes.values is not None:
        now.values = changes.values
    if changes.ends is not None:
        now.state, now.datetime_complete = changes.ends, changes.time
    return now


def own_copy(trial: FrozenTrial) -> FrozenTrial:
    """A trial whose mappings may be changed."""
    copied = copy.copy(trial)
    copied.params = dict(trial.params)
    copied.distributions = dict(trial.distributions)
    copied.user_attrs = dict(trial.user_attrs)
    copied.system_attrs = dict(trial.system_attrs)
    copied.intermediate_values = dict(trial.intermediate_values)
    return copied


def _as_stored(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {key: json.loads(json.dumps(value)) for key, value in attributes.items()}


def holds(trial: FrozenTrial, changes: Changes) -> bool:
    """Whether changes that were written, though nobody confirmed it, are there."""
    after = changed(trial, changes)
    after.datetime_start, after.datetime_complete = trial.datetime_start, trial.datetime_complete
    return repr(after) == repr(trial)  # in which NaN equals NaN


def one_by_one(storage: BaseStorage, study: int, trial: int, changes: Changes) -> None:
    """The same through any storage of Optuna's: in an order in which a kill does no harm."""
    if changes.begins and not storage.set_trial_state_values(trial, TrialState.RUNNING):
        raise Crossed(trial)
    for key, value in changes.user_attrs.items():
        storage.set_trial_user_attr(trial, key, value)
    for key, value in changes.system_attrs.items():
        storage.set_trial_system_attr(trial, key, value)
    for key, (number, distribution) in changes.params.items():
        storage.set_trial_param(trial, key, number, distribution)
    for step, number in changes.intermediate_values.items():
        storage.set_trial_intermediate_value(trial, step, number)
    for key, value in changes.study_system_attrs.items():
        storage.set_study_system_attr(study, key, value)
    if changes.ends is not None:
        storage.set_trial_state_values(trial, changes.ends, changes.values)
