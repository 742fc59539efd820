"""`predict`: new scans through a trial's best checkpoint, or through those of all its folds."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from orchestrator import words
from orchestrator.commands.infer import three_sizes
from orchestrator.evaluation.results import read_evaluations
from orchestrator.launcher.open import open_launcher
from orchestrator.live.console import PatientConsole
from orchestrator.study.find import resolve_trial
from orchestrator.study.peek import ancestors
from protocol.doors import Call
from protocol.errors import SettingsError
from protocol.files import LineTail
from protocol.folders import StudyFolder, TrialFolder
from protocol.messages import Plan, load_plan

LEFT_OUT = 1  # the exit code where not all could be predicted
SECONDS_BETWEEN_LINES = 10.0
_FORMATS = {".nii.gz": "nii.gz", ".nii": "nii", ".npy": "npy", ".hdf5": "hdf5", ".h5": "hdf5",
            ".png": "png"}  # fmt: skip
# A tuned post-processing first; its threshold is of the validation split, whatever was scored.
_EVALUATIONS = ("test_tuned", "validation_tuned", "test", "validation")
_NAMED = 20  # cases in a summary


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is asked of `predict`."""

    inputs: Sequence[Path]
    out: Path
    format: str | None = None
    overwrite: bool = False
    device: str = "cpu"
    batch: int | None = None
    memory_gb: float | None = None
    voxel_size: Sequence[float] = ()  # mm: none, one for all axes, or right-left, front-back, …
    options: dict[str, Any] = field(default_factory=dict)  # of single kinds; None: not given

    @property
    def into_file(self) -> bool:
        """Whether the only result is to be a file of that name, rather than one in a folder."""
        return not self.out.is_dir() and _format_of(self.out) is not None

    def checked(self) -> Wanted:
        """This, with the format that a file's name says, and only options that were given.

        Raises:
            SettingsError: an option is wrong, or a file in the way.
        """
        given = {key: value for key, value in self.options.items() if value is not None}
        if self.voxel_size:
            given["voxel_size"] = list(three_sizes(self.voxel_size))
        format_ = self.format
        if self.into_file:
            format_ = _format_of(self.out)
            if self.format not in (None, format_):
                raise SettingsError(
                    f"found {self.format!r} for {self.out}, which says another; leave one out",
                    key="--format",
                )
        _check_place(self)
        return Wanted(**{**vars(self), "options": given, "format": format_})


def predict_command(study: StudyFolder, trial: str, wanted: Wanted) -> int:
    """Predict, and say what was done; the exit code.

    Raises:
        SettingsError: there is no such study or trial, an option is wrong, or the trial's family
            makes no predictions.
        CheckpointError, DataError: the checkpoint or the only input is missing or damaged.
        UserError: the results cannot be written.
    """
    wanted = wanted.checked()
    folder = resolve_trial(study, trial)
    plan = _plan(folder)
    console = PatientConsole()
    with tempfile.TemporaryDirectory(prefix="tomostudy-") as place:
        log, progress = Path(place) / "log", Path(place) / "progress"
        progress.touch()
        family = None if plan is None else plan.family
        launcher = open_launcher(log, family, calls=(Call.PREDICT,), trains=False)
        shown = _Shown(console, LineTail(progress))
        arguments = _arguments(folder, plan, wanted, progress)
        with closing(launcher), console.status("loading the model") as shown.status:
            answer = launcher.call(Call.PREDICT, arguments, shown.look)
        shown.look()
    answer["notes"] = [*doubts_of(folder, plan), *answer["notes"]]
    for line in _told(study, folder, wanted, answer):
        console.print(Text(line), soft_wrap=True)
    return LEFT_OUT if answer["left_out"] else 0


def _arguments(
    folder: TrialFolder, plan: Plan | None, wanted: Wanted, progress: Path
) -> dict[str, Any]:
    return {
        "checkpoints": [str(path.absolute()) for path in checkpoints_of(folder, plan)],
        "inputs": [str(path.absolute()) for path in wanted.inputs],
        "out": str(wanted.out.absolute()),
        "progress": str(progress),
        "into_file": wanted.into_file,
        "format": wanted.format,
        "overwrite": wanted.overwrite,
        "device": wanted.device,
        "batch": wanted.batch,
        "memory_gb": wanted.memory_gb or (plan.memory_gb if plan else None),
        "options": wanted.options,
        "postprocessing": postprocessing_of(folder),
    }


def checkpoints_of(folder: TrialFolder, plan: Plan | None) -> list[Path]:
    """The best checkpoint, or of a cross-validated trial that of each fold that has one."""
    if plan is None or plan.folds == 1:
        return [folder.best]
    return [best for _, best in folder.fold_bests(plan.folds)] or [folder.best]


def doubts_of(folder: TrialFolder, plan: Plan | None) -> Iterator[str]:
    """What is missing of the trial."""
    if not folder.outcome.exists():
        yield "the trial has not ended, its best checkpoint may still be replaced"
    folds = 1 if plan is None else plan.folds
    without = [fold for fold in range(folds) if not folder.fold(fold).best.exists()]
    if folds > 1 and without:
        yield f"folds without a checkpoint are left out: {', '.join(map(str, without))}"


def postprocessing_of(folder: TrialFolder) -> list[dict[str, Any]]:
    """What `evaluate` found of each of the trial's checkpoints, the tuned of several.

    Raises:
        SettingsError: evaluation.json is damaged.
    """
    known = read_evaluations(folder)
    for name in _EVALUATIONS:
        entry = known.get(name)
        if not isinstance(entry, dict):
            continue
        runs = entry.get("folds") or [entry]
        return [
            {
                "sha256": run["checkpoint"]["sha256"],
                "settings": run["settings"],
                "source": f"{folder.evaluation} ({name})",
            }
            for run in runs
        ]
    return []


def _plan(folder: TrialFolder) -> Plan | None:
    try:
        return load_plan(folder.plan)
    except (OSError, ValueError):
        return None  # the checkpoint names its family as well


def _format_of(path: Path) -> str | None:
    name = path.name.lower()
    return next((kind for suffix, kind in _FORMATS.items() if name.endswith(suffix)), None)


def _check_place(wanted: Wanted) -> None:
    out = wanted.out
    if wanted.into_file:
        if out.exists() and not wanted.overwrite:
            raise SettingsError(f"{out} exists; --overwrite replaces it", key="--out")
        if not out.absolute().parent.is_dir():
            raise SettingsError(
                f"there is no folder {out.absolute().parent}; make it first", key="--out"
            )
    elif out.exists() and not out.is_dir():
        raise SettingsError(f"{out} is a file, expected a folder, or a file's name", key="--out")
    folder = next(f for f in (out, *out.absolute().parents) if f.is_dir())
    if not os.access(folder, os.W_OK):
        raise SettingsError(
            f"nothing may be written into {folder}; choose another place", key="--out"
        )
    for path in wanted.inputs:
        if wanted.into_file and path.exists() and out.exists() and path.samefile(out):
            raise SettingsError(f"{out} is the input; name another file", key="--out")
        if path.is_dir() and out.resolve().is_relative_to(path.resolve()):
            raise SettingsError(
                f"{out} is in {path}, so that results would be taken for input; name another",
                key="--out",
            )


class _Shown:
    """What the other process tells, on a terminal in one line, elsewhere a line now and then."""

    def __init__(self, console: Console, tail: LineTail) -> None:
        self._console = console
        self._tail = tail
        self._next_line = time.monotonic() + SECONDS_BETWEEN_LINES
        self.status: Any = None

    def look(self) -> None:
        """Show what is new."""
        for line in self._tail.new_lines():
            word = json.loads(line)
            if "say" in word:
                self._print(word["say"])
                continue
            done, total, name = word["done"], word["total"], word["name"]
            if self.status is not None and name:
                self.status.update(Text(f"{done} of {total}: {name}"))
            if not self._console.is_terminal and time.monotonic() >= self._next_line:
                self._next_line = time.monotonic() + SECONDS_BETWEEN_LINES
                self._print(f"{done} of {total} done")

    def _print(self, text: str) -> None:
        # Names of files may hold bytes that no terminal can be given.
        shown = text.encode(errors="backslashreplace").decode()
        self._console.print(Text(shown), soft_wrap=True)


def _told(
    study: StudyFolder, folder: TrialFolder, wanted: Wanted, answer: dict[str, Any]
) -> Iterator[str]:
    things, left_out = answer["things"], answer["left_out"]
    kept = f", {answer['kept']} were there already" if answer["kept"] else ""
    lacking = f", {len(left_out)} LEFT OUT" if left_out else ""
    yield (
        f"Trial {folder.number} of study {study.name} predicted {answer['made']} {things} into "
        f"{wanted.out}{kept}{lacking}."
    )
    models = answer["checkpoints"]
    path, epoch = models[0]["path"], models[0]["epoch"]
    if len(models) == 1:
        yield f"  model    {answer['family']}, {path}, epoch {epoch}"
    else:
        yield f"  models   {answer['family']}, the mean of {len(models)} folds' best"
    for parent in ancestors(study):
        yield f"  parent   {parent.told()}"
    for note in answer["notes"]:
        yield f"  note     {note}"
    yield f"  time     {words.duration(answer['seconds'])} on {wanted.device}"
    if answer["made"] == 1:
        for key, value in answer["last"].items():
            shown = words.listed(value) if isinstance(value, list) else words.setting(value)
            yield f"  {key:<8} {shown}"
    if left_out:
        named = ", ".join(list(left_out)[:_NAMED])
        more = f" and {len(left_out) - _NAMED} more" if len(left_out) > _NAMED else ""
        yield f"  LEFT OUT {named}{more}; {wanted.out / 'predictions.json'} says why each was"
