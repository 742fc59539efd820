"""Which kind of prediction a trial's family makes, and what that kind needs of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, get_args

from data.brain.given import trained_voxel_size
from data.brain.prepare.settings import MaskMethod
from data.brain.prepare.standard import VOXEL
from data.brain.settings import BrainSettings
from data.lodopab.layout import is_upright
from data.scans.nifti_writer import Number
from data.splits import SPLITS
from models.blocks.anomaly.evaluation.parameters import Parameters, published
from models.program import BrainProgram, Kind, Program, SinogramProgram, XraysProgram
from protocol.errors import SettingsError
from worker.calls.opened import OpenedCheckpoint
from worker.calls.prediction import brains, sinograms, xrays
from worker.calls.prediction.brains import BrainTask, Detection
from worker.calls.prediction.ensemble import Ensemble
from worker.calls.prediction.sinograms import SinogramTask
from worker.calls.prediction.task import Say, Task, Wanted
from worker.calls.prediction.xrays import XrayTask

# The options that mean something to single kinds, by the names that they have there.
_OPTIONS: dict[Kind, set[str]] = {
    "sinogram": {"split"},
    "brain": {"mask", "mask_method", "threshold", "voxel_size"},
    "xrays": {"voxel_size", "number"},
}
_BATCHES: dict[Kind, int] = {
    "sinogram": sinograms.BATCH,
    "brain": brains.BATCH,
    "xrays": xrays.BATCH,
}
_WHAT: dict[Kind, str] = {"sinogram": "sinograms", "brain": "brains", "xrays": "X-rays"}
_CHOICES = {
    "mask_method": get_args(MaskMethod),
    "number": get_args(Number),
    "split": SPLITS,
}
_TYPED = {"number": "dtype"}


@dataclass(frozen=True, kw_only=True)
class Made:
    """A task with what it runs on."""

    task: Task[Any]
    ensemble: Ensemble
    family: str
    notes: list[str]  # what a reader of the results has to know


def make_task(
    opened: Sequence[OpenedCheckpoint],
    wanted: Wanted,
    postprocessing: Sequence[Mapping[str, Any]],
    say: Say,
    left_out: dict[str, str],
) -> Made:
    """The task of the family's kind.

    Args:
        opened: a trial's model, or those of its folds.
        postprocessing: what an evaluation found for each of them.
        say: tells people a sentence.
        left_out: takes files that are damaged, with a sentence.

    Raises:
        SettingsError: the family makes no predictions, or an option means nothing to its kind.
    """
    programs = [one.family.program(one.model).eval() for one in opened]
    family, first = opened[0].family, programs[0]
    if first.kind == "own":
        raise SettingsError(
            f"{type(family).__name__} takes what no file format here is known to hold; call its "
            "`program` from Python, or derive that from a program of sinograms, brains or X-rays",
            key="family",
        )
    _check_options(first.kind, wanted)
    ensemble = Ensemble(
        programs,
        opened[0].device,
        wanted.batch or _BATCHES[first.kind],
        say,
        limited=wanted.memory_gb is not None,
    )
    notes: list[str] = []
    task: Task[Any]
    match first:
        case SinogramProgram():
            upright = is_upright(family.data.root)
            task = SinogramTask(wanted, ensemble, first.geometry, upright=upright)
        case BrainProgram():
            task = _brains(opened, wanted, ensemble, postprocessing, notes, left_out)
        case XraysProgram():
            task = XrayTask(wanted, ensemble, family.data, first.xray_size, first.voxel_size)
        case _:
            raise TypeError(f"{type(first).__name__} says that it is a program of {first.kind}")
    return Made(task=task, ensemble=ensemble, family=type(family).__name__, notes=notes)


def _check_options(kind: Kind, wanted: Wanted) -> None:
    foreign = sorted(wanted.options.keys() - _OPTIONS[kind])
    if foreign:
        option = _TYPED.get(foreign[0], foreign[0])
        raise SettingsError(
            f"it means nothing to a model of {_WHAT[kind]}; leave it out", key=f"--{option}"
        )
    for name, known in _CHOICES.items():
        found = wanted.options.get(name)
        if found is not None and found not in known:
            raise SettingsError(
                f"found {found!r}, expected {', '.join(known)}", key=f"--{_TYPED.get(name, name)}"
            )
    if kind != "xrays" and len(wanted.inputs) != 1:
        raise SettingsError(
            f"found {len(wanted.inputs)} paths, expected one file or folder", key="--input"
        )


def _brains(
    opened: Sequence[OpenedCheckpoint],
    wanted: Wanted,
    ensemble: Ensemble,
    postprocessing: Sequence[Mapping[str, Any]],
    notes: list[str],
    left_out: dict[str, str],
) -> BrainTask:
    family = opened[0].family
    data: BrainSettings = family.data
    given = wanted.options.get("voxel_size")
    voxel_size = (given[2], given[1], given[0]) if given else trained_voxel_size(data)
    if voxel_size is None:
        notes.append(
            f"the training data are not in {data.root} any more: its volumes are taken to be of "
            f"{VOXEL:g} mm, as `prepare brain` makes them, before they were reduced (--voxel_size)"
        )
    default = published(getattr(family, "timesteps", (0,)), data.size[1])
    detection = _detection(opened, default, wanted.options.get("threshold"), postprocessing)
    notes.append(detection.source)
    steps = detection.parameters.timesteps
    if steps != default.timesteps:
        ensemble.programs = [_at(steps, one).eval() for one in opened]
    return BrainTask(wanted, ensemble, data, voxel_size, detection, left_out.__setitem__)


def _at(timesteps: tuple[int, ...], opened: OpenedCheckpoint) -> Program:
    """The program that reconstructs from other time steps than the family's own."""
    own = type(opened.family)
    tuned = type(own.__name__, (own,), {"timesteps": timesteps})
    return tuned(opened.family.settings, opened.family.data).program(opened.model)


def _detection(
    opened: Sequence[OpenedCheckpoint],
    default: Parameters,
    threshold: float | None,
    postprocessing: Sequence[Mapping[str, Any]],
) -> Detection:
    """As an evaluation of these very checkpoints found it, or else by default."""
    by_digest = {found["sha256"]: found for found in postprocessing}
    found = [by_digest[one.sha256] for one in opened if one.sha256 in by_digest]
    if len(found) < len(opened):
        why = (
            "the trial's evaluation.json is of an earlier checkpoint"
            if postprocessing
            else "the trial has no evaluation.json"
        )
        if threshold is not None:
            source = f"threshold {threshold:g} as given, post-processing as published: {why}"
        else:
            source = (
                f"LESIONS ARE A GUESS: {why}, so the threshold is the {default.percentile:g}th "
                "percentile of each brain's own residual, which finds something in every brain; "
                "`evaluate` chooses one on volumes with lesions, or give --threshold"
            )
        return Detection(parameters=default, threshold=threshold, source=source)
    settings = found[0]["settings"]
    known = {key: settings[key] for key in Parameters.model_fields if key in settings}
    mean = fmean(float(one["settings"]["threshold"]) for one in found)
    of_folds = f", the mean of {len(found)} folds'" if len(found) > 1 else ""
    return Detection(
        parameters=Parameters.model_validate(known),
        threshold=mean if threshold is None else threshold,
        source=f"post-processing of {found[0]['source']}, "
        + (f"threshold {mean:.4g}{of_folds}" if threshold is None else f"threshold {threshold:g}"),
    )
