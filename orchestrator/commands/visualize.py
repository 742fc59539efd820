"""`visualize`: pictures and metrics of a trial's best checkpoint, on any split."""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path

from rich.table import Table
from rich.text import Text

from orchestrator.launcher.open import open_launcher
from orchestrator.live.console import PatientConsole
from orchestrator.study.find import chosen_trial, read_study, resolve_trial
from protocol.doors import Call
from protocol.errors import SettingsError
from protocol.folders import StudyFolder

_SPLITS = ("train", "validation", "test")


def visualize_trial(
    study: StudyFolder, trial: str, *, split: str, samples: int, out: Path | None, device: str
) -> None:
    """Draw `samples` pictures spread over `split`, and print the metrics of all of it.

    Raises:
        SettingsError: there is no such trial or split.
        CheckpointError: the trial has no checkpoint, or a damaged one.
    """
    if split not in _SPLITS:
        raise SettingsError(f"found {split!r}, expected one of {', '.join(_SPLITS)}", key="--split")
    folder = resolve_trial(study, trial)
    target = out if out is not None else folder.pictures / split
    console = PatientConsole()
    with tempfile.NamedTemporaryFile(prefix="tomostudy-", suffix=".log") as log:
        launcher = open_launcher(Path(log.name), trains=False)
        with closing(launcher), console.status(f"trial {folder.number}: loading {folder.best}"):
            answer = launcher.call(
                Call.VISUALIZE,
                {
                    "checkpoint": str(folder.best),
                    "out_dir": str(target.absolute()),
                    "split": split,
                    "samples": samples,
                    "device": device,
                },
            )
    console.print(Text(f"Trial {folder.number} on the {split} split, mean over all its samples:"))
    console.print(_table(answer["metrics"]))
    if answer["shown"]:
        console.print(Text("What the pictures below show, mean over them:"))
        console.print(_table(answer["shown"]))
    for picture in answer["pictures"]:
        console.print(Text(str(picture)), soft_wrap=True)


def draw_curves(study: StudyFolder, trial: str, *, out: Path | None) -> None:
    """Draw a trial's losses and its objective over epochs from its events, also while it trains.

    Raises:
        SettingsError: there is no such trial, or it has not validated an epoch yet.
    """
    folder = study.trial(chosen_trial(read_study(study), trial).number)
    target = out if out is not None else folder.pictures / "curves"
    with tempfile.NamedTemporaryFile(prefix="tomostudy-", suffix=".log") as log:
        launcher = open_launcher(Path(log.name), calls=(Call.CURVES,), trains=False)
        with closing(launcher):
            arguments = {"trial": str(folder.path.absolute()), "out": str(target.absolute())}
            answer = launcher.call(Call.CURVES, arguments)
    console = PatientConsole()
    for path in answer["curves"]:
        console.print(Text(str(path)), soft_wrap=True)


def _table(values: dict[str, float]) -> Table:
    table = Table(show_header=False, box=None)
    for name, value in values.items():
        table.add_row(name, f"{value:.6g}")
    return table
