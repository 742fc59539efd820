"""Trials out of Optuna's tables by a few plain queries, on whatever database.

Optuna builds an object of its mapper for every row: at 10 000 trials that takes ten times as long
and twice the memory. The tables are those that Optuna's models describe, and a test holds what is
read here to what Optuna would have read. What many trials share, such as the distribution of a
key that has not moved, is one object for all of them.
"""

from __future__ import annotations

import gc
import json
import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from sys import intern
from typing import Any

from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial
from sqlalchemy import ColumnElement, String, Table, and_, select, type_coerce
from sqlalchemy.orm import Session

_TRIALS: Table = models.TrialModel.__table__
_PARAMS: Table = models.TrialParamModel.__table__
_PIECE = 500  # trial ids in one query; SQLite takes 32 766 variables, older ones 999
_MOST_SHARED = 64  # characters of a value that is worth looking up among those seen

Grouped = defaultdict[int, dict[Any, Any]]


def trials_in(
    session: Session, study: int, *, above: int = -1, among: Collection[int] = ()
) -> list[FrozenTrial]:
    """The trials of a study whose ids are above one id or among some, by id."""
    some = sorted(identity for identity in among if identity <= above)
    pieces = [some[first : first + _PIECE] for first in range(0, len(some), _PIECE)]
    wanted = [_TRIALS.c.trial_id > above, *(_TRIALS.c.trial_id.in_(piece) for piece in pieces)]
    with _without_collections():
        found = [
            trial
            for part in wanted
            for trial in _read(session, and_(_TRIALS.c.study_id == study, part))
        ]
    return sorted(found, key=lambda trial: trial._trial_id)


def trial_with(session: Session, identity: int) -> FrozenTrial:
    """The trial with this id.

    Raises:
        KeyError: there is none.
    """
    found = _read(session, _TRIALS.c.trial_id == identity)
    if not found:
        raise KeyError(models.NOT_FOUND_MSG)
    return found[0]


def study_attributes(session: Session, study: int, prefix: str = "") -> dict[str, Any]:
    """A study's system attributes; of all those whose keys begin with `prefix`, up to a colon.

    The dashboard keeps the notes of all trials there.

    Raises:
        KeyError: there is no such study.
    """
    columns = models.StudySystemAttributeModel.__table__.c
    wanted = [columns.study_id == study]
    if prefix:
        wanted.append(columns.key.startswith(prefix, autoescape=True))
        if session.get_bind().dialect.name == "sqlite":  # whose LIKE uses no index
            behind = prefix[:-1] + chr(ord(":") + 1)
            wanted.append(columns.key.between(prefix, behind))
    else:
        models.StudyModel.find_or_raise_by_id(study, session)
    rows = session.execute(select(columns.key, columns.value_json).where(*wanted))
    return {key: json.loads(text) for key, text in rows}


def _read(session: Session, wanted: ColumnElement[bool]) -> list[FrozenTrial]:
    columns = _TRIALS.c
    rows = session.execute(
        select(
            columns.trial_id, columns.number, columns.state,
            columns.datetime_start, columns.datetime_complete,
        )
        .where(wanted)
        .order_by(columns.trial_id)
    ).all()  # fmt: skip
    if not rows:
        return []
    values = _values(session, wanted)
    params, distributions = _params(session, wanted)
    user_attributes = _attributes(session, models.TrialUserAttributeModel.__table__, wanted)
    system_attributes = _attributes(session, models.TrialSystemAttributeModel.__table__, wanted)
    curves = _curves(session, wanted)
    return [
        FrozenTrial(
            number=number,
            state=state,
            value=None,
            values=[objectives[index] for index in range(len(objectives))]
            if (objectives := values.get(identity))
            else None,
            datetime_start=_local(begun),
            datetime_complete=_local(ended),
            params=params.pop(identity, {}),
            distributions=distributions.pop(identity, {}),
            user_attrs=user_attributes.pop(identity, {}),
            system_attrs=system_attributes.pop(identity, {}),
            intermediate_values=curves.pop(identity, {}),
            trial_id=identity,
        )
        for identity, number, state, begun, ended in rows
    ]


def _rows(
    session: Session, table: Table, wanted: ColumnElement[bool], *columns: ColumnElement[Any]
) -> Iterator[Any]:
    """Rows that belong to trials, each with its trial's id first."""
    owner = table.c.trial_id
    query = select(owner, *columns).join(_TRIALS, _TRIALS.c.trial_id == owner).where(wanted)
    if table is _PARAMS:
        query = query.order_by(table.c.param_id)  # in which they were suggested
    for part in session.execute(query).partitions(_PIECE):
        yield from part


def _values(session: Session, wanted: ColumnElement[bool]) -> Grouped:
    table = models.TrialValueModel.__table__
    return _numbers(session, wanted, table, "objective", "value", "value_type")


def _curves(session: Session, wanted: ColumnElement[bool]) -> Grouped:
    table = models.TrialIntermediateValueModel.__table__
    names = ("step", "intermediate_value", "intermediate_value_type")
    return _numbers(session, wanted, table, *names)


def _numbers(
    session: Session, wanted: ColumnElement[bool], table: Table, key: str, value: str, kind: str
) -> Grouped:
    """Numbers by the column `key`, whose value or whose kind is stored in the other two."""
    found: Grouped = defaultdict(dict)
    columns = (table.c[key], table.c[value], type_coerce(table.c[kind], String))
    for trial, place, number, name in _rows(session, table, wanted, *columns):
        found[trial][place] = _number(number, name)
    return found


_NOT_FINITE = {"INF_POS": math.inf, "INF_NEG": -math.inf, "NAN": math.nan}


def _number(value: float | None, kind: str) -> float:
    """What Optuna stores as a kind where databases have no word for it."""
    return float(_NOT_FINITE[kind] if value is None else value)


def _params(session: Session, wanted: ColumnElement[bool]) -> tuple[Grouped, Grouped]:
    known: dict[str, BaseDistribution] = {}
    params: Grouped = defaultdict(dict)
    distributions: Grouped = defaultdict(dict)
    columns = (_PARAMS.c.param_name, _PARAMS.c.param_value, _PARAMS.c.distribution_json)
    for trial, key, value, text in _rows(session, _PARAMS, wanted, *columns):
        distribution = known.get(text)
        if distribution is None:
            distribution = known[text] = json_to_distribution(text)
        name = intern(key)
        params[trial][name] = distribution.to_external_repr(value)
        distributions[trial][name] = distribution
    return params, distributions


def _attributes(session: Session, table: Table, wanted: ColumnElement[bool]) -> Grouped:
    parse = _sharing_parser()
    found: Grouped = defaultdict(dict)
    for trial, key, text in _rows(session, table, wanted, table.c.key, table.c.value_json):
        found[trial][intern(key)] = parse(text)
    return found


def _sharing_parser() -> Callable[[str], Any]:
    """JSON's values, of which short texts and numbers that come again are one object."""
    known: dict[str, Any] = {}
    scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]

    def parse(text: str) -> Any:
        if text in known:
            return known[text]
        try:
            value, end = scan(text, 0)  # `json.loads` without its look for white space
        except StopIteration:
            end = -1
        if end != len(text):
            value = json.loads(text)
        if len(text) <= _MOST_SHARED and not isinstance(value, dict | list):
            known[text] = value
        return value

    return parse


def _local(stored: datetime | None) -> datetime | None:
    """A time as Optuna gives it: stored in UTC, told in the time of here, naive in both."""
    return None if stored is None else stored.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)


@contextmanager
def _without_collections() -> Iterator[None]:
    """No search for garbage while only what stays is made: it would go through all of it again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
