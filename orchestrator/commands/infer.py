"""`infer`: two X-rays through a trial's best checkpoint, and through its parent's, to a volume."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.text import Text

from orchestrator.launcher.open import open_launcher
from orchestrator.live.console import PatientConsole
from orchestrator.study.find import resolve_trial
from orchestrator.study.peek import ancestors
from protocol.doors import Call
from protocol.errors import SettingsError
from protocol.folders import StudyFolder, TrialFolder
from protocol.messages import load_plan

_NIFTI = (".nii", ".nii.gz")
_NUMBERS = ("int16", "float32")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is asked of `infer`."""

    inputs: Sequence[Path]  # two X-rays, the front view first, or one case folder
    out: Path
    overwrite: bool = False
    voxel_size: Sequence[float] = ()  # mm: none, one for all axes, or right-left, front-back, …
    number: str = "int16"
    picture: Path | None = None
    device: str = "cpu"

    def checked(self) -> Wanted:
        """This, with three voxel sizes or none.

        Raises:
            SettingsError: an option is wrong, or a file in the way.
        """
        if not self.out.name.endswith(_NIFTI) or self.out.name in _NIFTI:
            raise SettingsError(
                f"found {self.out}, expected a name.nii.gz or name.nii", key="--out"
            )
        if self.picture is not None and self.picture.suffix.lower() != ".png":
            raise SettingsError(f"found {self.picture}, expected a name.png", key="--picture")
        if self.number not in _NUMBERS:
            raise SettingsError(f"found {self.number!r}, expected int16 or float32", key="--dtype")
        for option, path in (("--out", self.out), ("--picture", self.picture)):
            if path is not None:
                _check_place(option, path, self.overwrite)
        return Wanted(**{**vars(self), "voxel_size": three_sizes(self.voxel_size)})


def infer_volume(study: StudyFolder, trial: str, wanted: Wanted) -> None:
    """Write the volume, and say what was done.

    Raises:
        SettingsError: there is no such study or trial, an option is wrong, or the trial's family
            makes no volumes.
        CheckpointError, DataError: the checkpoint or an X-ray is missing or damaged.
        UserError: the volume cannot be written.
    """
    wanted = wanted.checked()
    folder = resolve_trial(study, trial)
    console = PatientConsole()
    with tempfile.TemporaryDirectory(prefix="tomostudy-") as place:
        launcher = open_launcher(
            Path(place) / "log", _family(folder), calls=(Call.INFER,), trains=False
        )
        with closing(launcher), console.status(f"trial {folder.number}: making {wanted.out}"):
            answer = launcher.call(Call.INFER, _arguments(folder, wanted))
    for line in _told(study, folder, wanted, answer):
        console.print(Text(line), soft_wrap=True)


def _arguments(folder: TrialFolder, wanted: Wanted) -> dict[str, Any]:
    return {
        "checkpoint": str(folder.best.absolute()),
        "inputs": [str(path.absolute()) for path in wanted.inputs],
        "out": str(wanted.out.absolute()),
        "voxel_size": list(wanted.voxel_size) or None,
        "number": wanted.number,
        "device": wanted.device,
        "picture": wanted.picture and str(wanted.picture.absolute()),
    }


def _family(folder: TrialFolder) -> str | None:
    try:
        return load_plan(folder.plan).family
    except (OSError, ValueError):
        return None  # the checkpoint names its family as well


def _check_place(option: str, path: Path, overwrite: bool) -> None:
    if path.is_dir():
        raise SettingsError(f"{option}: {path} is a folder; expected a file to make")
    if path.exists() and not overwrite:
        raise SettingsError(f"{option}: {path} exists; --overwrite replaces it")
    parent = path.absolute().parent
    if not parent.is_dir():
        raise SettingsError(f"{option}: there is no folder {parent}; make it first")
    if not os.access(parent, os.W_OK):
        raise SettingsError(f"{option}: nothing may be written into {parent}; choose another place")


def three_sizes(sizes: Sequence[float]) -> tuple[float, ...]:
    """Three voxel sizes of one for all axes, or of three; none of none.

    Raises:
        SettingsError: they are others.
    """
    if len(sizes) not in (0, 1, 3) or not all(0 < size < math.inf for size in sizes):
        found = " ".join(f"{size:g}" for size in sizes)
        raise SettingsError(
            f"found {found}, expected one number of mm above 0, or three: from right "
            "to left, front to back, head to feet",
            key="--voxel_size",
        )
    return tuple(sizes) * (3 // len(sizes)) if sizes else ()


def _told(
    study: StudyFolder, folder: TrialFolder, wanted: Wanted, answer: dict[str, Any]
) -> Iterator[str]:
    voxels = " × ".join(str(count) for count in answer["shape"])
    sizes = " × ".join(f"{size:.4g}" for size in answer["voxel_size"])
    low, high = answer["hu"]
    yield f"Trial {folder.number} of study {study.name} made {wanted.out} of the X-rays."
    yield f"  model    {answer['family']}, {folder.best}, epoch {answer['epoch']}"
    for parent in ancestors(study):
        yield f"  parent   {parent.told()}"
    turned = f", turned by {answer['turned']}°" if answer["turned"] else ""
    turned += ", inverted" if answer["inverted"] else ""
    yield f"  X-rays   {', '.join(answer['sources'])}{turned}"
    if answer["faint"]:
        yield "  LOOK AT  the X-rays: less than 10 % of white, as 12 bits stored in 16 have"
    yield f"  voxels   {voxels} of {sizes} mm (right–left, front–back, head–feet)"
    yield f"  range    {low:.0f} to {high:.0f} HU, as {wanted.number}"
    yield f"  time     {answer['seconds']:.1f} s on {wanted.device}"
    if wanted.picture is not None:
        yield f"  picture  {wanted.picture}"
