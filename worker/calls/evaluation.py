"""Judging, tuning and scoring for `evaluate`, where torch is: JSON in, JSON out."""

from __future__ import annotations

import importlib
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from models.evaluation import HeldOut, Judgement, Request, Scorer
from models.registry import FILE_MODULE, import_file
from protocol.errors import SettingsError
from protocol.files import write_text
from protocol.objective import Objective
from worker.calls.opened import OpenedCheckpoint, open_checkpoint
from worker.calls.sample_judgement import judge_samples
from worker.training.pictures import draw

_SECONDS_BETWEEN_WORDS = 0.2


def judge(
    *,
    checkpoint: str,
    split: HeldOut,
    objective: Mapping[str, Any],
    store: str,
    pictures: str,
    progress: str,
    device: str,
    parameters: Mapping[str, Any] | None = None,
    prefix: str = "",
) -> dict[str, Any]:
    """The whole verdict on one checkpoint.

    Args:
        store: a folder for what is dear to compute; each checkpoint gets its own inside.
        pictures: the folder to draw into.
        progress: a file to write into how far it is.
        parameters: of the family's own evaluation, instead of its defaults.
        prefix: of the pictures' names.

    Returns:
        {"checkpoint": {"path", "epoch", "sha256"}, "family", "settings", "cases": [{"name",
        "group", "scores"}], "notes": [str], "pictures": [path]}.

    Raises:
        CheckpointError, SettingsError, DataError: one of them is at fault.
    """
    tell = _Progress(Path(progress))
    tell(f"loading {checkpoint}")
    opened = open_checkpoint(Path(checkpoint), device)
    judgement = _judgement(
        opened, _request(opened, split, store, tell, parameters), Objective(**objective)
    )
    tell("drawing")
    return {
        "checkpoint": {"path": checkpoint, "epoch": opened.epoch, "sha256": opened.sha256},
        "family": type(opened.family).__name__,
        "settings": dict(judgement.settings),
        "cases": [asdict(case) for case in judgement.cases],
        "notes": list(judgement.notes),
        "pictures": _draw(judgement, Path(pictures), prefix, opened.caption(split)),
    }


def tuning(*, checkpoint: str, store: str, progress: str, device: str) -> dict[str, Any]:
    """What can be tuned on the validation split without the model, which is run here.

    Returns:
        {"scorer", "task", "space", "defaults"} as in `models.evaluation.Tuning`, the scorer by
        the name that `score` finds it by.

    Raises:
        SettingsError: the family's evaluation has nothing to tune.
        CheckpointError, DataError: one of them is at fault.
    """
    tell = _Progress(Path(progress))
    tell(f"loading {checkpoint}")
    opened = open_checkpoint(Path(checkpoint), device)
    evaluation = opened.family.evaluation()
    found = None
    if evaluation is not None:
        request = _request(opened, "validation", store, tell, None)
        found = evaluation.tuning(opened.model, request)
    if found is None:
        raise SettingsError(
            f"{type(opened.family).__name__} has no post-processing to "
            "tune, its result is scored as it is; leave the option out",
            key="--tune_postprocessing",
        )
    return asdict(found) | {"scorer": _name_of(found.scorer)}


def score(
    *, scorer: str, tasks: Sequence[Mapping[str, Any]], candidates: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """What a scorer says of some proposals, without the family or its model.

    Args:
        scorer: as from `tuning`.
        tasks: of every fold, likewise.
        candidates: points of the space.

    Returns:
        {"scores": [{"value": float, ...}, ...]}, one for each candidate.
    """
    return _named(scorer)(tasks=tasks, candidates=candidates)


def _judgement(opened: OpenedCheckpoint, request: Request, objective: Objective) -> Judgement:
    evaluation = opened.family.evaluation()
    if evaluation is None:
        return judge_samples(opened, request.split, objective, request.tell)
    return evaluation.judge(opened.model, request)


def _request(
    opened: OpenedCheckpoint,
    split: HeldOut,
    store: str,
    tell: _Progress,
    parameters: Mapping[str, Any] | None,
) -> Request:
    own = Path(store) / opened.sha256[:16]
    for other in Path(store).glob("*"):
        if other != own:  # of a checkpoint that this one has replaced
            shutil.rmtree(other, ignore_errors=True)
    return Request(split=split, store=own, tell=tell, parameters=parameters or {})


def _name_of(scorer: Scorer | str) -> str:
    """`module:function`, or `path/to/file.py:function` of a family in a file of the user's."""
    if isinstance(scorer, str):
        return scorer
    module = scorer.__module__
    place = sys.modules[module].__file__ if module.startswith(FILE_MODULE) else module
    return f"{place}:{scorer.__name__}"


def _named(name: str) -> Scorer:
    place, _, function = name.rpartition(":")
    of_file = place.endswith(".py")
    module = import_file(Path(place)) if of_file else importlib.import_module(place)
    scorer: Scorer = getattr(module, function)
    return scorer


def _draw(judgement: Judgement, folder: Path, prefix: str, caption: str) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for stem, picture in judgement.pictures:
        path = folder / f"{prefix}{stem}.png"
        draw(picture, path, caption)
        paths.append(str(path))
    return paths


class _Progress:
    """Leaves the latest word where another process finds it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last = 0.0

    def __call__(self, word: str) -> None:
        now = time.monotonic()
        if now - self._last > _SECONDS_BETWEEN_WORDS:
            self._last = now
            write_text(self._path, word)
