"""Which brain volumes a folder holds: subjects, contrasts, and masks and segmentations beside."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from data.brain.layout import Mode
from data.brain.prepare.names import Kind, Name, read_name
from data.scans.files import is_volume, volume_files
from data.scans.people import People, without_copies
from data.splits import some_of
from protocol.errors import DataError, SettingsError

_LEFT_OUT: dict[Kind, str] = {
    "t1": "of other contrasts",
    "t2": "of other contrasts",
    "other": "of other contrasts",
    "labels": "label maps of tissue",
    "mask": "masks of nothing that is used",
    "lesions": "segmentations of nothing that is used",
}


@dataclass(frozen=True, kw_only=True)
class Source:
    """A subject's volume as it was found."""

    subject: str  # what the volume is called
    person: str  # whose it is: one person's volumes stay in one split
    image: Path
    mask: Path | None
    segmentation: Path | None


@dataclass(frozen=True, kw_only=True)
class Sources:
    """All volumes of one contrast, by subject, and a sentence on every other file."""

    contrast: Mode
    found: tuple[Source, ...]
    notes: tuple[str, ...]


def find_sources(
    source: Path, contrast: Mode | None, patient_pattern: str | None = None
) -> Sources:
    """The volumes that `source` names: a file, or a folder of such.

    What a file is, its name says, as `names` reads it. One that names no contrast is of the
    wanted one if that is given. Masks and segmentations of lesions belong to the volume whose
    subject they name.

    Args:
        source: the file or folder.
        contrast: the wanted one, if it is given.
        patient_pattern: a regular expression that finds the person in a file's place.

    Raises:
        DataError: there are none, two of one subject, or patients who count as healthy.
        SettingsError: the contrast is not given, and the names do not tell; or the pattern is not
            found in a file's place.
    """
    files = volume_files(source)
    if not files:
        raise DataError(
            f"{source} has no volume's file (.nii.gz and others) in it, expected brain volumes; "
            "name another folder, or convert them"
        )
    names = {path: read_name(path) for path in _with_siblings(source, files)}
    wanted = contrast or _told_by_names(source, [names[path] for path in files])
    chosen = [path for path in files if _is_wanted(names[path], wanted, insisted=bool(contrast))]
    whole = set(without_copies(chosen))
    if not chosen:
        raise DataError(
            f"{source} has no {wanted} volume among its {len(files)} files; {_expected(wanted)}"
        )
    people = People(source, pattern=patient_pattern)

    def person(path: Path) -> str:
        return names[path].person if patient_pattern is None else people.of_file(path)

    found = [_source(path, names, wanted, person(path)) for path in chosen if path in whole]
    ill = {person(path) for path, name in names.items() if name.kind == "lesions"}
    kept = [one for one in found if one.segmentation is not None or one.person not in ill]
    _check_healthy(kept, names)
    _check_unique(kept)
    used = {path for one in kept for path in (one.image, one.mask, one.segmentation) if path}
    return Sources(
        contrast=wanted,
        found=tuple(sorted(kept, key=lambda one: one.subject)),
        notes=tuple(_notes(files, used, names, wanted, found)),
    )


def find_given(source: Path, contrast: Mode) -> tuple[list[Source], list[str]]:
    """The volumes that a path names, each with the mask beside it, whoever they show.

    Of a folder those of the contrast, and those whose names tell none; a file whatever its name.

    Returns:
        The volumes, and a sentence on every other file.

    Raises:
        DataError: there is no such path, it is a file of another kind, or a volume has two masks.
    """
    files = volume_files(source)
    names = {path: read_name(path) for path in _with_siblings(source, files)}
    single = not source.is_dir()
    chosen = [path for path in files if single or _is_wanted(names[path], contrast, insisted=True)]
    found = [_source(path, names, contrast, names[path].person) for path in chosen]
    used = {path for one in found for path in (one.image, one.mask, one.segmentation) if path}
    if used.issuperset(files):
        return found, []
    return found, list(_notes(files, used, names, contrast, found))[:1]


def _with_siblings(source: Path, files: Sequence[Path]) -> Sequence[Path]:
    """Where masks and segmentations may be: for a single file, in its folder."""
    if source.is_dir():
        return files
    beside = sorted(path for path in source.parent.iterdir() if is_volume(path))
    labels = [path for path in beside if read_name(path).kind in ("mask", "lesions")]
    return [*files, *(path for path in labels if path not in files)]


def _is_wanted(name: Name, contrast: Mode, *, insisted: bool) -> bool:
    return not name.unknown and (name.kind == contrast or (name.kind is None and insisted))


def _told_by_names(source: Path, names: Iterable[Name]) -> Mode:
    named = {name.kind for name in names if name.kind in ("t1", "t2")}
    if named == {"t1"}:
        return "t1"
    if named == {"t2"}:
        return "t2"
    found = "t1 and t2 files" if named else "no contrast in the files' names"
    raise SettingsError(f"{source} has {found}; say which to take, t1 or t2", key="--modality")


def _expected(contrast: Mode) -> str:
    return (
        f"expected names that end in _{contrast}, _{contrast}w or the like, or in no contrast at "
        f"all and --modality {contrast}"
    )


def _source(image: Path, names: dict[Path, Name], contrast: Mode, person: str) -> Source:
    own = names[image]

    def label(kind: Kind) -> Path | None:
        """The one whose name repeats all of the image's, or else its subject."""
        of_kind = {path: name for path, name in names.items() if name.kind == kind}
        exact = [path for path, name in of_kind.items() if name.words == own.words]
        same = [
            path
            for path, name in of_kind.items()
            if name.subject.lower() == own.subject.lower() and name.contrast in (None, contrast)
        ]
        found = exact or same
        if len(found) > 1:
            raise DataError(
                f"{found[0]} and {found[1]} are both {kind} of {image}; leave one of them out"
            )
        return found[0] if found else None

    return Source(
        subject=own.subject,
        person=person,
        image=image,
        mask=label("mask"),
        segmentation=label("lesions"),
    )


def _check_healthy(found: Sequence[Source], names: dict[Path, Name]) -> None:
    """Refuse patients of whom nothing says where they are ill: they would be trained on."""
    ill = [one for one in found if one.segmentation is None and names[one.image].of_patients]
    if ill:
        raise DataError(
            f"{len(ill)} volumes are of BraTS, whose patients all have tumours, and have no "
            f"segmentation beside them ({some_of(one.image.name for one in ill)}), so they would "
            "count as healthy; add their …_seg files, or leave them out"
        )


def _check_unique(found: Sequence[Source]) -> None:
    by_subject: dict[str, Source] = {}
    for one in found:
        other = by_subject.setdefault(one.subject, one)
        if other is not one:
            raise DataError(
                f"{other.image} and {one.image} are both of a subject {one.subject}, expected one "
                "volume a subject; rename or move one of them"
            )


def _notes(
    files: Sequence[Path],
    used: set[Path],
    names: dict[Path, Name],
    contrast: Mode,
    found: Sequence[Source],
) -> Iterable[str]:
    """Sentences on which files are used, and why others are not."""
    of_the_ill = {one.image for one in found} - used
    reasons: defaultdict[str, list[str]] = defaultdict(list)
    for path in files:
        if path not in used:
            name, ill = names[path], path in of_the_ill
            copy = name.kind in (contrast, None) and not name.unknown and not ill
            why = "copies of others" if copy else _why_not(name, contrast, ill=ill)
            reasons[why].append(path.name)
    told = [f"{len(names_)} {why} ({some_of(names_)})" for why, names_ in sorted(reasons.items())]
    sentence = f"{len(used)} of {len(files) + len(used - set(files))} files are used"
    yield f"{sentence}; left out: {'; '.join(told)}." if told else f"{sentence}."
    silent = [path.name for path in sorted(used) if names[path].kind is None]
    if silent:
        yield f"{len(silent)} name no contrast and are taken for {contrast} ({some_of(silent)})."
    persons = Counter(one.person for one in found if one.image in used)
    several = sum(count > 1 for count in persons.values())
    if several:
        yield f"{several} persons have several volumes, which stay in one split."


def _why_not(name: Name, contrast: Mode, *, ill: bool) -> str:
    if ill:
        return "of persons with lesions, without a segmentation of their own"
    if name.unknown:
        return f"with words that are not known ({name.unknown}); rename them"
    if name.kind is None:
        return f"that name no contrast; --modality {contrast} takes them"
    return _LEFT_OUT[name.kind]
