"""Writing a data set of X-ray/CT pairs: the cases, splits.csv and xray_ct.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from data.prepare.destination import check_replaceable, write_record
from data.scans.volume import Millimetres
from data.splits import Split
from data.xray_ct.layouts.find import FORMATS, NOTE, read_note
from data.xray_ct.layouts.format import CANONICAL, Pair
from data.xray_ct.settings import LayoutName
from data.xray_ct.splits import SPLITS_CSV, Row, write_splits

_OURS = {NOTE, SPLITS_CSV, "CT_pt", "DRR_mod", ".cache"}


@dataclass(frozen=True)
class XrayCtWriter:
    """Fills a folder with one data set; a case at a time, then the lists."""

    folder: Path
    layout: LayoutName
    _rows: list[Row] = field(default_factory=list)
    _sizes: dict[str, Millimetres] = field(default_factory=dict)

    def add(self, name: str, patient: str, split: Split, pair: Pair) -> None:
        """Write a case."""
        FORMATS[self.layout].write(self.folder, name, pair)
        self._rows.append((name, patient, split))
        self._sizes[name] = pair.voxel_size

    def finish(self, record: Mapping[str, Any]) -> None:
        """Say which case is in which split, how large voxels are, and where all this is from.

        Args:
            record: what else xray_ct.json is to say.
        """
        write_splits(self.folder / SPLITS_CSV, self._rows)
        note = {
            "layout": self.layout,
            "axes": CANONICAL,
            **record,
            "voxel_size_mm": {name: list(sides) for name, sides in self._sizes.items()},
        }
        write_record(self.folder / NOTE, note)


def check_xray_ct_destination(out: Path, *, overwrite: bool) -> None:
    """Refuse a folder that is taken; with `overwrite`, one that was not made here.

    Raises:
        DataError: it is taken.
    """

    @cache
    def ours() -> set[str]:
        return _OURS | set(read_note(out).voxel_size)  # folders of cases

    check_replaceable(out, overwrite=overwrite, is_ours=lambda name: name in ours(), note=NOTE)
