"""`gallery`: the same cases through several trials, side by side, as a page."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.text import Text

from orchestrator import words
from orchestrator.commands.showing.report import checked
from orchestrator.launcher.base import Launcher
from orchestrator.launcher.open import open_launcher
from orchestrator.live.console import PatientConsole
from orchestrator.reporting.screen import near
from orchestrator.showing import asked
from orchestrator.showing.cases import Sample, chosen_samples, chosen_trials
from orchestrator.showing.gallery import gallery_of
from orchestrator.showing.look import Look, look
from orchestrator.showing.page import rendered
from orchestrator.study.find import require_study
from orchestrator.study.record import TrialRecord
from protocol.doors import Call
from protocol.errors import SettingsError
from protocol.files import write_text
from protocol.folders import StudyFolder

_SPLITS = ("train", "validation", "test")
_MOST_IMAGES = 18_000_000  # characters: the page stays below 20 MB
_ENDED = ("complete", "pruned", "failed")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is asked of `gallery`."""

    trials: str | None
    case: str | None
    split: str
    out: Path | None
    device: str


def show_gallery(folder: StudyFolder, wanted: Wanted) -> None:
    """Write the page, and say where; trials that kept nothing of a case have it shown anew.

    Raises:
        SettingsError: there is no such study, trial, case or split, or nothing to show.
        CheckpointError, DataError: a checkpoint or the data are missing or damaged.
    """
    if wanted.split not in _SPLITS:
        raise SettingsError(
            f"found {wanted.split!r}, expected one of {', '.join(_SPLITS)}", key="--split"
        )
    require_study(folder)
    path = checked(wanted.out or folder.gallery)
    found, console = look(folder), PatientConsole()
    trials = chosen_trials(found, wanted.trials)
    samples = chosen_samples(found, trials, wanted.case, wanted.split)
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tomostudy-")))
        elsewhere = {
            trial.number: place / str(trial.number)
            for trial in trials
            if trial.state not in _ENDED  # whose checkpoint is another in a moment
        }
        missing = _missing(found, trials, samples, elsewhere)
        if missing:
            launcher = open_launcher(
                place / "log",
                found.plan.family if found.plan else None,
                calls=(Call.PANELS,),
                trains=False,
            )
            stack.callback(launcher.close)
            for trial, lacking in missing.items():
                with console.status(f"trial {trial}: {words.counted(len(lacking), 'case')}"):
                    out = elsewhere.get(trial, folder.trial(trial).panels)
                    _show(launcher, found, trial, lacking, out, wanted.device)
        places = [elsewhere.get(t.number, folder.trial(t.number).panels) for t in trials]
        cases = _cases(places, samples)
        gallery = gallery_of(found, trials, cases, _MOST_IMAGES, elsewhere)
    if not gallery.cases:
        raise SettingsError("; ".join(gallery.remarks) or _nothing(trials))
    page = rendered(
        "gallery.html", look=found, trials=trials, goal=asked.goal(found), gallery=gallery
    )
    write_text(path, page)
    for remark in gallery.remarks:
        console.print(Text(remark), soft_wrap=True)
    shown = (
        f"{words.counted(len(gallery.cases), 'case')} through {words.counted(len(trials), 'trial')}"
    )
    console.print(Text(f"{shown}: {near(path)}; open it in a browser."), soft_wrap=True)


def _missing(
    found: Look,
    trials: Sequence[TrialRecord],
    samples: Sequence[Sample],
    elsewhere: dict[int, Path],
) -> dict[int, list[Sample]]:
    """What trials with a checkpoint did not keep, by trial."""
    lacking: dict[int, list[Sample]] = {}
    for trial in trials:
        folder = found.folder.trial(trial.number)
        kept = [] if trial.number in elsewhere else [p.stem for p in folder.panels.glob("*.panels")]
        for sample in samples:
            there = any(sample.is_of(case) for case in kept)
            if not there and sample.training(folder).best.exists():
                lacking.setdefault(trial.number, []).append(sample)
    return lacking


def _show(
    launcher: Launcher, found: Look, trial: int, lacking: Sequence[Sample], out: Path, device: str
) -> None:
    for split, fold in dict.fromkeys((sample.split, sample.fold) for sample in lacking):
        of_one = [s for s in lacking if (s.split, s.fold) == (split, fold)]
        arguments = {
            "checkpoint": str(of_one[0].training(found.folder.trial(trial)).best.absolute()),
            "out": str(out.absolute()),
            "split": split,
            "indices": [sample.index for sample in of_one],
            "prefix": of_one[0].prefix,
            "device": device,
        }
        launcher.call(Call.PANELS, arguments)


def _cases(places: Sequence[Path], samples: Sequence[Sample]) -> list[str]:
    """What there is of the samples, in their order."""
    there = dict.fromkeys(path.stem for place in places for path in sorted(place.glob("*.panels")))
    return [case for sample in samples for case in there if sample.is_of(case)]


def _nothing(trials: Sequence[TrialRecord]) -> str:
    numbers = ", ".join(str(trial.number) for trial in trials)
    return (
        f"there is nothing to show of trial {numbers}: no panels were kept, and there is no "
        "checkpoint; `status` names the trials that have one"
    )
