"""Writing a data set of X-ray/CT pairs: the cases, splits.csv and xray_ct.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data.xray_ct_format import CANONICAL, Millimetres, Pair
from data.xray_ct_layout import FORMATS, LayoutName
from data.xray_ct_phantoms import NOTE
from data.xray_ct_splits import SPLITS_CSV, Row, Split, write_splits


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
        text = json.dumps(note, indent=2, ensure_ascii=False)
        (self.folder / NOTE).write_text(text + "\n", encoding="utf-8")
