"""The two X-rays of one case, from two files or from a case folder of any layout."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.scans.walk import files_below
from data.splits import some_of
from data.xray_ct.images import SUFFIXES, read_xray
from data.xray_ct.layouts.format import CaseFiles
from data.xray_ct.layouts.x2ct_gan import FILE, X2ctGanFormat
from protocol.errors import DataError

_FRONT = {"ap", "pa", "front", "frontal"}
_LATERAL = {"lat", "lateral", "side"}

View = NDArray[np.float32]  # (H, W) in [0, 1]


@dataclass(frozen=True, kw_only=True)
class TwoViews:
    """A case's X-rays, each of its own size."""

    front: View
    lateral: View
    sources: tuple[str, ...]  # what they were read from, for people


def read_views(inputs: Sequence[Path]) -> TwoViews:
    """The X-rays of one case.

    Args:
        inputs: two images, the front view first; or one folder with them in it, their names
            saying which is which; or one file or folder of X2CT-GAN's layout.

    Raises:
        DataError: they are not one case, are missing or damaged, or in the wrong order.
    """
    if len(inputs) == 1 and inputs[0].is_dir():
        return _of_folder(inputs[0])
    if len(inputs) == 1 and inputs[0].suffix in (".h5", ".hdf5"):
        return _of_hdf5(inputs[0])
    if len(inputs) != 2:
        found = " ".join(str(path) for path in inputs) or "nothing"
        raise DataError(
            f"found {found}, expected two X-rays, the front view first, or the folder of one case",
            key="--input",
        )
    front, lateral = inputs
    if _says(front, _LATERAL) and _says(lateral, _FRONT):
        raise DataError(
            f"found {front.name} first and {lateral.name} second, expected the front "
            "view first; swap them, or rename them if their names are wrong",
            key="--input",
        )
    if front.is_dir() or lateral.is_dir():
        raise DataError(
            "found two paths with a folder, expected one folder or two files", key="--input"
        )
    return _of_files(front, lateral)


@dataclass(frozen=True, kw_only=True)
class ViewsOfCase:
    """A case's X-rays that were found and not yet read."""

    name: str  # its place below the folder
    inputs: tuple[Path, ...]  # what `read_views` takes

    @property
    def files(self) -> tuple[Path, ...]:
        """Every image of the case."""
        (first, *others) = self.inputs
        if others or not first.is_dir():
            return self.inputs
        return tuple(path for path in _images(first)) or (first / FILE,)


def find_cases(inputs: Sequence[Path]) -> tuple[list[ViewsOfCase], tuple[str, ...]]:
    """The cases that paths name: two X-rays, the folder of a case, or a folder of many.

    In a folder of many a case is a folder of its own, or two images whose names differ by the
    words for the view, such as `p1_ap.png` and `p1_lat.png`.

    Returns:
        The cases, and a sentence on folders whose images are of neither view by their names.

    Raises:
        DataError: there is none.
    """
    if len(inputs) != 1 or not inputs[0].is_dir():
        names = [path.stem for path in inputs]
        name = _without_view(names[0]) if names else ""
        return [ViewsOfCase(name=name, inputs=(*inputs,))], ()
    folder = inputs[0]
    images = _images(folder)
    if (folder / FILE).is_file() or sorted(map(_view, images)) == ["front", "lateral"]:
        return [ViewsOfCase(name=folder.absolute().name, inputs=(folder,))], ()
    pairs: dict[str, list[Path]] = {}
    for path in filter(_view, images):
        pairs.setdefault(_without_view(path.stem), []).append(path)
    found = [
        ViewsOfCase(name=name, inputs=tuple(sorted(pair, key=_view)))
        for name, pair in sorted(pairs.items())
    ]
    places = {path.parent for path in files_below(folder) if path.parent != folder}
    silent = [folder.name] if images and not pairs else []
    for place in sorted(places):
        name, inside = place.relative_to(folder).as_posix(), _images(place)
        if (place / FILE).is_file() or any(map(_view, inside)):
            found.append(ViewsOfCase(name=name, inputs=(place,)))
        elif inside:
            silent.append(name)
    if not found:
        raise DataError(
            f"{folder} holds no X-rays ({', '.join(SUFFIXES)} or {FILE}), nor do its folders; "
            "name another",
            key="--input",
        )
    if not silent:
        return found, ()
    words = "`ap`, `pa` or `front`, and `lat` or `side`"
    return found, (f"the images in {some_of(silent)} are not used: no name has {words} as a word",)


def _images(folder: Path) -> list[Path]:
    paths = (path for path in folder.iterdir() if not path.name.startswith("."))
    return sorted(path for path in paths if path.suffix.lower() in SUFFIXES)


def _view(path: Path) -> str:
    """`front`, `lateral`, or nothing where a name says neither or both."""
    front, lateral = _says(path, _FRONT), _says(path, _LATERAL)
    return "" if front == lateral else "front" if front else "lateral"


def _without_view(stem: str) -> str:
    """A name without the words for the view: what the two images of a case share."""
    parts = re.split(r"([^A-Za-z]+)", stem)
    kept = [part for part in parts if part.lower() not in _FRONT | _LATERAL]
    return re.sub(r"([-_. ])[-_. ]+", r"\1", "".join(kept)).strip("-_. ") or stem


def _of_folder(folder: Path) -> TwoViews:
    if (folder / FILE).is_file():
        return _of_hdf5(folder / FILE)
    images = _images(folder)
    fronts, laterals = ([p for p in images if _says(p, words)] for words in (_FRONT, _LATERAL))
    if len(fronts) == len(laterals) == 1:
        return _of_files(fronts[0], laterals[0])
    names = ", ".join(path.name for path in images[:6]) or "no image"
    raise DataError(
        f"{folder} holds {names}; expected one front view and one lateral view, whose "
        f"names have `ap`, `pa` or `front`, and `lat` or `side` as a word, or {FILE}; or name the "
        "two files",
        key="--input",
    )


def _of_files(front: Path, lateral: Path) -> TwoViews:
    return TwoViews(
        front=read_xray(front), lateral=read_xray(lateral), sources=(str(front), str(lateral))
    )


def _of_hdf5(path: Path) -> TwoViews:
    case = CaseFiles(name=path.parent.name, ct=path, front=path, lateral=path)
    front, lateral = X2ctGanFormat().xrays(case)
    return TwoViews(front=front, lateral=lateral, sources=(str(path),))


def _says(path: Path, words: set[str]) -> bool:
    """Whether one of `words` is a word of the file's name."""
    return not words.isdisjoint(re.split(r"[^a-z]+", path.stem.lower()))
