"""Which brain volumes a folder holds: subjects, contrasts, and masks and segmentations beside."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data.brain.layout import Mode
from data.scans.files import is_volume, volume_files
from protocol.errors import DataError, SettingsError

_SUFFIX = re.compile(r"\.(nii|nii\.gz|mgz|mgh|nrrd|mha|mhd)$", re.IGNORECASE)
_CONTRAST = re.compile(r"[-_.](t1|t2)w?$", re.IGNORECASE)
_ANYWHERE = re.compile(r"(?:^|[-_.])(t1|t2)w?(?=$|[-_.])", re.IGNORECASE)
_OTHER = re.compile(r"[-_.](flair|pd|t1ce|t1gd|t2star|swi|dwi|adc|bold)w?$", re.IGNORECASE)
_LABEL = re.compile(r"[-_.](mask|seg)$", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Source:
    """A subject's volume as it was found."""

    subject: str  # the file's name up to the contrast
    image: Path
    mask: Path | None
    segmentation: Path | None


@dataclass(frozen=True, kw_only=True)
class Sources:
    """All volumes of one contrast, by subject, and what was left out."""

    contrast: Mode
    found: tuple[Source, ...]
    left_out: tuple[Path, ...]  # of other contrasts


def find_sources(source: Path, contrast: Mode | None) -> Sources:
    """The volumes that `source` names: a NIfTI file, or a folder of such.

    A file whose name ends in a contrast, as `sub-01_T2w.nii.gz` does, is of it; a file whose name
    names none is of the wanted one. `…_mask` and `…_seg` files belong to the volume whose name,
    with or without its contrast, they begin with.

    Raises:
        DataError: there are none, or two of one subject.
        SettingsError: the contrast is not given, and the names do not tell.
    """
    files = volume_files(source)
    if not files:
        raise DataError(
            f"{source} has no NIfTI file (.nii or .nii.gz) in it, expected brain volumes; "
            "name another folder, or convert them"
        )
    images = [path for path in files if not _LABEL.search(_stem(path))]
    wanted = contrast or _told_by_names(source, images)
    chosen = [path for path in images if _is_of(path, wanted)]
    if not chosen:
        raise DataError(
            f"{source} has no {wanted} volume among its {len(files)} NIfTI files; expected names "
            f"that end in _{wanted}.nii.gz, or in no contrast at all; check --modality"
        )
    beside = {_stem(path).lower(): path for path in _siblings(source, files)}
    found = [_source(path, beside) for path in chosen]
    _check_unique(found)
    return Sources(
        contrast=wanted,
        found=tuple(sorted(found, key=lambda one: one.subject)),
        left_out=tuple(path for path in images if path not in chosen),
    )


def _siblings(source: Path, files: Sequence[Path]) -> Sequence[Path]:
    """Where masks and segmentations may be: for a single file, in its folder."""
    if source.is_dir():
        return files
    return [path for path in source.parent.iterdir() if is_volume(path)]


def _stem(path: Path) -> str:
    return _SUFFIX.sub("", path.name)


def _is_of(path: Path, contrast: Mode) -> bool:
    stem = _stem(path)
    named = _CONTRAST.search(stem)
    return named[1].lower() == contrast if named else not _OTHER.search(stem)


def _told_by_names(source: Path, images: Sequence[Path]) -> Mode:
    named = {match.lower() for path in images for match in _ANYWHERE.findall(_stem(path))}
    if named == {"t1"}:
        return "t1"
    if named == {"t2"}:
        return "t2"
    found = "t1 and t2 files" if named else "no contrast in the files' names"
    raise SettingsError(f"{source} has {found}; say which to take, t1 or t2", key="--modality")


def _source(image: Path, beside: dict[str, Path]) -> Source:
    stem = _stem(image)
    subject = _CONTRAST.sub("", stem)

    def label(kind: str) -> Path | None:
        names = [f"{base}{sep}{kind}".lower() for base in (stem, subject) for sep in "_-."]
        return next((beside[name] for name in names if name in beside), None)

    return Source(subject=subject, image=image, mask=label("mask"), segmentation=label("seg"))


def _check_unique(found: Sequence[Source]) -> None:
    by_subject: dict[str, Source] = {}
    for one in found:
        other = by_subject.setdefault(one.subject, one)
        if other is not one:
            raise DataError(
                f"{other.image} and {one.image} are both of a subject {one.subject}, expected one "
                "volume a subject; rename or move one of them"
            )
