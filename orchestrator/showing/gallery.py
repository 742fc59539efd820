"""The same case, slice and intensity window through several trials.

Trials keep what their pictures show as numbers (`protocol.panels`). Only what was made of the same
target is laid side by side; windows are the target's, and differences of all trials have one scale.
"""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from orchestrator import words
from orchestrator.showing.look import Look
from orchestrator.showing.png import Values, colours, difference_png, grey_png, values_of
from orchestrator.study.record import TrialRecord
from protocol.errors import DataError
from protocol.panels import KeptPanel, Panels, load_panels

_FAR = 99.5  # per cent of a difference's pixels lie within its scale


@dataclass
class Gallery:
    """What a page shows; `cases` is what its script reads."""

    cases: list[dict[str, Any]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)  # what is not beside the others, and why
    colours: str = field(default_factory=colours)

    @property
    def size(self) -> int:
        """Characters of its images."""
        return sum(_size(case) for case in self.cases)


def kept_cases(look: Look, trials: Sequence[TrialRecord]) -> list[str]:
    """The cases that at least half of some trials kept, those of most trials first, else by name.

    The others were asked for by somebody, of a trial or two.
    """
    found: dict[str, int] = defaultdict(int)
    for trial in trials:
        for path in look.folder.trial(trial.number).panels.glob("*.panels"):
            found[path.stem] += 1
    common = [case for case in found if 2 * found[case] >= len(trials)]
    return sorted(common, key=lambda case: (-found[case], case))


def gallery_of(
    look: Look,
    trials: Sequence[TrialRecord],
    cases: Sequence[str],
    most: int,
    elsewhere: Mapping[int, Path] | None = None,
) -> Gallery:
    """Cases that trials kept, as many as fit into `most` characters, one at least.

    Args:
        elsewhere: folders of panels of trials that do not keep them in their own.
    """
    gallery = Gallery()
    for case in cases:
        kept: dict[int, Panels] = {}
        for trial in trials:
            own = look.folder.trial(trial.number).panels
            path = (elsewhere or {}).get(trial.number, own) / f"{case}.panels"
            try:
                kept[trial.number] = load_panels(path)
            except FileNotFoundError:
                gallery.remarks.append(f"trial {trial.number} kept nothing of {case}")
            except DataError as error:
                gallery.remarks.append(str(error))
        shown, remarks = shown_case(look, case, kept)
        if gallery.cases and gallery.size + _size(shown) > most:
            left = len(cases) - len(gallery.cases)
            gallery.remarks.append(
                f"{words.counted(left, 'more case')} would make the page too large: "
                "`gallery` shows them"
            )
            break
        gallery.remarks += remarks
        if shown["views"]:
            gallery.cases.append(shown)
    return gallery


def shown_case(
    look: Look, case: str, kept: Mapping[int, Panels]
) -> tuple[dict[str, Any], list[str]]:
    """One case as the page's script reads it, and what to remark.

    Args:
        kept: what each trial shows of the case, in the order in which they are to be shown.
    """
    remarks: list[str] = []
    comparable = _with_one_target(case, kept, remarks)
    first = next(iter(comparable.values()), None)
    names = {} if first is None else dict.fromkeys(panel.view for panel in first.picture.panels)
    views = [_view(look, name, comparable) for name in names]
    title = "" if first is None else first.picture.title.split("\n")[0]
    return {"case": case, "title": title, "views": views}, remarks


def _with_one_target(
    case: str, kept: Mapping[int, Panels], remarks: list[str]
) -> dict[int, Panels]:
    """Those whose targets are the first one's."""
    found: dict[int, Panels] = {}
    wanted = None
    for number, panels in kept.items():
        target = [
            (panel, levels)
            for panel, levels in zip(panels.picture.panels, panels.levels, strict=True)
            if panel.role == "target"
        ]
        wanted = target if wanted is None else wanted
        if target == wanted:
            found[number] = panels
        else:
            remarks.append(
                f"trial {number} is not shown for {case}: its target is another than that of "
                f"trial {next(iter(found))}"
            )
    return found


def _view(look: Look, name: str, kept: Mapping[int, Panels]) -> dict[str, Any]:
    """One plane through all trials."""
    of_trials = {number: list(_panels_of(panels, name)) for number, panels in kept.items()}
    first = next(iter(of_trials.values()))
    target = next((values for panel, values in first if panel.role == "target"), None)
    leading = next((panel for panel, _ in first if panel.role == "target"), first[0][0])
    low, high = window = leading.window
    tiles = [
        (number, panel, values)
        for number, panels in of_trials.items()
        for panel, values in panels
        if panel.role in ("result", "")
    ]
    limit = None if target is None else _limit([values - target for _, _, values in tiles])
    shown: dict[str, Any] = {
        "name": name,
        "rows": leading.rows,
        "columns": leading.columns,
        "window": [low, high],
        "limit": limit,
        "tiles": [],
    }
    if target is not None:
        label = leading.title.split("\n")[0]
        shown["tiles"].append(
            {"label": label, "under": "", "image": _url(grey_png(target, window))}
        )
    shown["tiles"] += _baselines(of_trials, target, window, limit)
    for number, panel, values in tiles:
        tile = _tile(
            values, target, window if panel.window == leading.window else panel.window, limit
        )
        title, _, under = panel.title.partition("\n")
        own = "" if panel.role == "result" else f", {title}"
        said = f"{_valued(look, number)}\nhere {under}" if under else _valued(look, number)
        shown["tiles"].append({"label": f"Trial {number}{own}", "under": said, **tile})
    return shown


def _baselines(
    of_trials: Mapping[int, Sequence[tuple[KeptPanel, Values]]],
    target: Values | None,
    window: tuple[float, float],
    limit: float | None,
) -> Iterator[dict[str, Any]]:
    """What results started from; once where it is the same for all trials."""
    found: list[tuple[int, KeptPanel, Values]] = []
    for number, panels in of_trials.items():
        for panel, values in panels:
            known = any(
                np.array_equal(values, other, equal_nan=True) and panel.title == there.title
                for _, there, other in found
            )
            if panel.role == "baseline" and not known:
                found.append((number, panel, values))
    for number, panel, values in found:
        title, _, under = panel.title.partition("\n")
        whose = f", of trial {number}" if len(found) > 1 else ""
        yield {"label": title + whose, "under": under, **_tile(values, target, window, limit)}


def _tile(
    values: Values, target: Values | None, window: tuple[float, float], limit: float | None
) -> dict[str, Any]:
    tile = {"image": _url(grey_png(values, window))}
    if target is not None and limit is not None and values.shape == target.shape:
        tile["difference"] = _url(difference_png(values - target, limit))
    return tile


def _panels_of(panels: Panels, view: str) -> Iterator[tuple[KeptPanel, Values]]:
    for panel, levels in zip(panels.picture.panels, panels.levels, strict=True):
        if panel.view == view:
            yield panel, values_of(panel, levels)


def _limit(differences: Sequence[Values]) -> float:
    """One scale for all trials: a few outliers must not wash out the rest."""
    sizes = [np.abs(values[np.isfinite(values)]) for values in differences]
    reached = [float(np.percentile(size, _FAR)) for size in sizes if size.size]
    return max(reached, default=0.0) or 1e-6


def _valued(look: Look, number: int) -> str:
    trial = look.record.trial(number)
    if trial is None or trial.value is None:
        return trial.state if trial else ""
    return f"{look.metric} {words.number(trial.value)}"


def _url(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _size(case: Mapping[str, Any]) -> int:
    return sum(
        len(tile.get(key, ""))
        for view in case["views"]
        for tile in view["tiles"]
        for key in ("image", "difference")
    )
