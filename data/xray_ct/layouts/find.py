"""Which layout a folder of X-ray/CT pairs is in, and what `xray_ct.json` beside them says."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from data.reading import reading
from data.scans.volume import Millimetres
from data.xray_ct.layouts.diffx2ct import DiffX2ctFormat
from data.xray_ct.layouts.format import CaseFiles, Format
from data.xray_ct.layouts.nifti_png import NiftiPngFormat
from data.xray_ct.layouts.x2ct_gan import X2ctGanFormat
from data.xray_ct.settings import LayoutName
from protocol.errors import DataError

NOTE = "xray_ct.json"

FORMATS: dict[LayoutName, Format] = {
    "diffx2ct": DiffX2ctFormat(),
    "nifti_png": NiftiPngFormat(),
    "x2ct_gan": X2ctGanFormat(),
}


# Whose front views are PA, the source behind the patient; it matters in a cone beam alone.
FRONT_FROM_BEHIND: tuple[LayoutName, ...] = ("nifti_png", "x2ct_gan")


_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Found:
    """A folder's layout and its cases, sorted by name."""

    format: Format
    cases: tuple[CaseFiles, ...]
    why: str  # the layout is taken, for people


@dataclass(frozen=True, kw_only=True)
class Note:
    """What `xray_ct.json` says; empty where there is none."""

    layout: str | None = None
    voxel_size: dict[str, Millimetres] = field(default_factory=dict)  # mm, by case
    splits_share_people: bool = False
    record: dict[str, Any] = field(default_factory=dict)  # everything else


def find_cases(root: Path, layout: LayoutName | Literal["auto"] = "auto") -> Found:
    """The cases in `root`, in the layout that is named, recorded, or found by looking.

    Raises:
        DataError: there is no such folder, it holds no cases, or those of several layouts.
    """
    if not root.is_dir():
        raise DataError(
            f"there is no folder {root}; expected a data set of X-ray/CT pairs; make "
            "one with `prepare xray_ct`, or set data.generate",
            key="data.root",
        )
    by_layout = {name: one.cases(root) for name, one in FORMATS.items()}
    filled = [name for name, cases in by_layout.items() if cases]
    if layout != "auto":
        chosen, why = layout, "data.layout asks for it"
    else:
        chosen, why = _chosen(root, filled)
    if not by_layout[chosen]:
        raise DataError(
            f"{root} has no case of the layout {chosen}, expected {FORMATS[chosen].pattern}"
            + (f"; it holds {', '.join(filled)}" if filled else "")
            + ": correct data.layout or data.root"
        )
    found = Found(format=FORMATS[chosen], cases=tuple(by_layout[chosen]), why=why)
    _log.info("%s: %d cases of the layout %s, since %s", root, len(found.cases), chosen, why)
    return found


def read_note(root: Path) -> Note:
    """What the data set says of itself.

    Raises:
        DataError: the file is damaged.
    """
    path = root / NOTE
    with reading(path, "a record in JSON", way="restore it, or delete it and set data.voxel_size"):
        if not path.exists():
            return Note()
        record = json.loads(path.read_text(encoding="utf-8"))
        sizes = record.pop("voxel_size_mm", {})
        return Note(
            layout=record.get("layout"),
            voxel_size={name: _three(side) for name, side in sizes.items()},
            splits_share_people=bool(record.get("splits_share_people", False)),
            record=record,
        )


def _chosen(root: Path, filled: list[LayoutName]) -> tuple[LayoutName, str]:
    recorded = read_note(root).layout
    for name in FORMATS:
        if name == recorded and name in filled:
            return name, f"{NOTE} says so"
    if not filled:
        patterns = "; ".join(f"{name}: {one.pattern}" for name, one in FORMATS.items())
        raise DataError(
            f"{root} holds no X-ray/CT pairs of a known layout ({patterns}); name the "
            "folder that holds them, or make a data set with `prepare xray_ct`",
            key="data.root",
        )
    if len(filled) > 1:
        raise DataError(
            f"{root} holds cases of the layouts {' and '.join(filled)}; say which to read with "
            "data.layout"
        )
    return filled[0], f"{FORMATS[filled[0]].pattern} is there"


def _three(sides: Any) -> Millimetres:
    first, second, third = (float(side) for side in sides)
    if not min(first, second, third) > 0:
        raise ValueError(f"a voxel size of {sides}")
    return first, second, third
