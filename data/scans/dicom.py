"""CT and MR volumes from folders of DICOM files, in whatever order and depth they lie there."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.errors import InvalidDicomError
from pydicom.pixels.processing import apply_modality_lut
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from data.reading import reading
from data.scans.people import People
from data.scans.stack import checked_stack
from data.scans.volume import Scan, StoredVolume, UprightVolume, axial
from protocol.errors import DataError

Modality = Literal["CT", "MR"]

_NEEDED = (
    "Modality",
    "ImageType",
    "NumberOfFrames",
    "PatientID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "AcquisitionNumber",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "Rows",
    "Columns",
)
_FIRST_GROUPS = (b"\x02\x00", b"\x08\x00")  # with which a file without the preamble begins
_SAME_SPACING = 1e-3  # relative: programs round the same number differently
_SAME_DIRECTION = 1e-3  # of unit vectors


@dataclass(frozen=True, kw_only=True)
class Slice:
    """What a file's header says about where its slice lies; lengths in millimetres."""

    path: Path
    series: str
    acquisition: str
    patient: str
    corner: NDArray[np.float64]  # (3,) of the first pixel's centre: left, posterior, superior
    along_row: NDArray[np.float64]  # (3,) unit vector in which columns are counted
    along_column: NDArray[np.float64]  # (3,) unit vector in which rows are counted
    spacing: tuple[float, float]  # between rows, between columns
    shape: tuple[int, int]

    @property
    def normal(self) -> NDArray[np.float64]:
        return np.cross(self.along_row, self.along_column)

    @property
    def place(self) -> tuple[float, ...]:
        """Its corner, as far as two slices at one position agree in it."""
        return tuple(np.round(self.corner, 2))

    @property
    def axial(self) -> bool:
        return abs(float(self.normal[2])) > 0.5

    @property
    def affine(self) -> NDArray[np.float64]:
        """(4, 4): from row, column and mm along the normal to mm right, anterior and superior."""
        return _affine(self, self.corner, self.normal)


@dataclass(frozen=True)
class Series:
    """The slices of one series, or of one acquisition of it, that make up a volume."""

    name: str
    slices: tuple[Slice, ...]

    def stored(self) -> StoredVolume:
        """The volume (rows, columns, slices), on the slices' own grid.

        Raises:
            DataError: a slice is damaged, missing, or of another grid than the others.
        """
        first = self.slices[0]
        for other in self.slices:
            if not _same_grid(first, other):
                raise DataError(
                    f"{other.path} does not match {first.path.name} of the same series in size, "
                    "spacing or direction; remove it, or export the series again"
                )
        stack = checked_stack(
            [one.path for one in self.slices],
            np.array([one.corner for one in self.slices]),
            first.normal,
            lambda number: _pixels(self.slices[number]),
        )
        return StoredVolume(stack.values, _affine(first, stack.corner, stack.step), stack.remarks)

    def read(self) -> UprightVolume:
        """The same turned upright; raises as `stored`."""
        found = self.stored()
        return axial(found.values, found.affine, found.remarks)


@dataclass(frozen=True)
class FoundSeries:
    """The CT series among some files, and what else was there."""

    scans: list[Scan]
    others: defaultdict[str, list[Path]]  # files by what they are


def dicom_series(paths: Iterable[Path], people: People) -> FoundSeries:
    """The CT series among files, each a scan.

    Raises:
        DataError: a header is damaged.
        SettingsError: a file is of nobody by the pattern that people are told by.
    """
    found, others = sorted_series(paths, "CT")
    scans = []
    for one in found:
        first = one.slices[0]
        patient = people.of_series(first.path, first.series, first.patient)
        scans.append(Scan(name=one.name, patient=patient, read=one.read))
    return FoundSeries(scans, others)


def sorted_series(
    paths: Iterable[Path],
    modality: Modality,
    damaged: Callable[[Path, DataError], None] | None = None,
) -> tuple[list[Series], defaultdict[str, list[Path]]]:
    """The series of one modality among files, and the other files by what they are.

    Args:
        damaged: told of a file whose header is damaged; without it that is an error.

    Raises:
        DataError: a header is damaged.
    """
    series: defaultdict[str, list[Slice]] = defaultdict(list)
    others: defaultdict[str, list[Path]] = defaultdict(list)
    for path in paths:
        try:
            found = _header(path, modality)
        except DataError as error:
            if damaged is None:
                raise
            damaged(path, error)
            continue
        if isinstance(found, Slice):
            series[found.series].append(found)
        else:
            others[found].append(path)
    volumes = []
    for uid, slices in sorted(series.items()):
        if len(slices) == 1 and not slices[0].axial:
            others[f"{modality} localizers"].append(slices[0].path)
            continue
        parts = _acquisitions(f"series {uid}", slices)
        volumes += [Series(name, tuple(part)) for name, part in parts]
    return volumes, others


def _acquisitions(name: str, slices: list[Slice]) -> list[tuple[str, list[Slice]]]:
    """The series as a whole, or where positions repeat the acquisitions that it is made of."""
    if len({one.place for one in slices}) == len(slices):
        return [(name, slices)]
    parts: defaultdict[str, list[Slice]] = defaultdict(list)
    for one in slices:
        parts[one.acquisition].append(one)
    whole = all(len({one.place for one in part}) == len(part) > 1 for part in parts.values())
    if len(parts) == 1 or not whole:
        return [(name, slices)]
    return [(f"{name}, acquisition {number}", part) for number, part in sorted(parts.items())]


def _header(path: Path, modality: Modality) -> Slice | str:
    """The slice's place, or in a word what else the file is."""
    with reading(path, "a DICOM file with a complete header"):
        try:
            header = opened(path, stop_before_pixels=True, specific_tags=list(_NEEDED))
        except InvalidDicomError:
            return "other files"
        kind = str(header.get("Modality", "DICOM without a modality"))
        if kind != modality:
            return f"{kind} files"
        if int(header.get("NumberOfFrames") or 1) > 1:
            raise DataError(
                f"{path} holds many frames (enhanced {kind}), expected one slice a file; convert "
                "it to NIfTI (dcm2niix does)"
            )
        if "LOCALIZER" in header.get("ImageType", ()) or "ImagePositionPatient" not in header:
            return f"{kind} localizers"
        return _slice(path, header)


def _slice(path: Path, header: pydicom.Dataset) -> Slice:
    along = _numbers(header.ImageOrientationPatient, 6).reshape(2, 3)
    rows, columns = _numbers(header.PixelSpacing, 2).tolist()
    spacing = (rows, columns)
    lengths = np.linalg.norm(along, axis=1)
    if not (min(spacing) > 0 and np.all(np.abs(lengths - 1) < 0.01)):
        raise ValueError(f"PixelSpacing {spacing}, ImageOrientationPatient {along.ravel()}")
    patient = str(header.get("PatientID") or "").strip()
    return Slice(
        path=path,
        series=str(header.SeriesInstanceUID),
        acquisition=str(header.get("AcquisitionNumber") or ""),
        patient=patient or str(header.get("StudyInstanceUID") or ""),
        corner=_numbers(header.ImagePositionPatient, 3),
        along_row=along[0],
        along_column=along[1],
        spacing=spacing,
        shape=(int(header.Rows), int(header.Columns)),
    )


def _numbers(value: object, count: int) -> NDArray[np.float64]:
    """So many finite numbers; scanners also store them as one text.

    Raises:
        ValueError: they are others.
    """
    several = value.split("\\") if isinstance(value, str) else value
    found = np.array(several, dtype=np.float64).ravel()
    if found.shape != (count,) or not np.isfinite(found).all():
        raise ValueError(f"{value} are not {count} numbers")
    return found


def opened(path: Path, **options: object) -> pydicom.Dataset:
    """The file's data; also of one that was written without DICOM's preamble.

    Raises:
        InvalidDicomError: it is no DICOM file.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of fields that nothing is made of; others are refused
        return _read_anyhow(path, **options)


def _read_anyhow(path: Path, **options: object) -> pydicom.Dataset:
    try:
        return pydicom.dcmread(path, **options)  # type: ignore[arg-type]
    except InvalidDicomError:
        with path.open("rb") as file:
            if file.read(2) not in _FIRST_GROUPS:
                raise
        found = pydicom.dcmread(path, force=True, **options)  # type: ignore[arg-type]
        if "Modality" not in found and "SOPClassUID" not in found:
            raise
        if "TransferSyntaxUID" not in found.file_meta:
            implicit, _ = found.original_encoding
            found.file_meta.TransferSyntaxUID = (
                ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
            )
        return found


def _same_grid(one: Slice, other: Slice) -> bool:
    turned = max(
        np.abs(one.along_row - other.along_row).max(),
        np.abs(one.along_column - other.along_column).max(),
    )
    alike = np.allclose(one.spacing, other.spacing, rtol=_SAME_SPACING, atol=0)
    return one.shape == other.shape and bool(alike) and bool(turned < _SAME_DIRECTION)


def _affine(
    first: Slice, corner: NDArray[np.float64], step: NDArray[np.float64]
) -> NDArray[np.float64]:
    affine = np.eye(4)
    affine[:3, 0] = first.along_column * first.spacing[0]
    affine[:3, 1] = first.along_row * first.spacing[1]
    affine[:3, 2] = step
    affine[:3, 3] = corner
    affine[:2] *= -1  # DICOM counts to the left and posterior, NIfTI to the right and anterior
    return affine


def _pixels(one: Slice) -> NDArray[np.float32]:
    """The slice's values after its rescaling, in HU for most scanners."""
    with reading(one.path, "a slice in DICOM"):
        file = opened(one.path)
        try:
            stored = file.pixel_array
        except (RuntimeError, NotImplementedError) as error:
            raise DataError(
                f"{one.path} is compressed in a way that cannot be read here ({error}); convert "
                "the series to NIfTI (dcm2niix does) or decompress it (gdcmconv --raw)"
            ) from error
    if stored.shape != one.shape:
        raise DataError(f"{one.path} holds pixels of shape {stored.shape}, expected grey values")
    if "ModalityLUTSequence" in file:
        return np.asarray(apply_modality_lut(stored, file), dtype=np.float32)
    slope, intercept = file.get("RescaleSlope"), file.get("RescaleIntercept")
    slope = 1.0 if slope is None else float(slope)
    intercept = 0.0 if intercept is None else float(intercept)
    return (stored * slope + intercept).astype(np.float32)
