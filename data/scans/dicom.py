"""CT volumes from a folder of DICOM files, in whatever order and depth they lie there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.errors import InvalidDicomError

from data.scans.volume import Scan, UprightVolume, axial
from protocol.errors import DataError

_NEEDED = (
    "Modality",
    "ImageType",
    "NumberOfFrames",
    "PatientID",
    "SeriesInstanceUID",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "Rows",
    "Columns",
)


@dataclass(frozen=True, kw_only=True)
class _Slice:
    """What a file's header says about where its slice lies; lengths in millimetres."""

    path: Path
    series: str
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
    def height(self) -> float:
        """Its place along the stack."""
        return float(self.corner @ self.normal)


def dicom_scans(folder: Path, *, series_are_patients: bool = False) -> list[Scan]:
    """The CT series below `folder`, each a scan.

    Series of one PatientID are one patient, unless `series_are_patients` says that each series is
    another person (as after an anonymisation that gave everybody the same id).

    Raises:
        DataError: there is no CT series, or a header is damaged.
    """
    series: defaultdict[str, list[_Slice]] = defaultdict(list)
    others: set[str] = set()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.startswith("."):
            found = _header(path)
            if isinstance(found, _Slice):
                series[found.series].append(found)
            else:
                others.add(found)
    if not series:
        raise DataError(
            f"{folder} holds neither NIfTI files nor CT slices in DICOM "
            f"({'it is empty' if not others else 'found ' + ', '.join(sorted(others))}); "
            "name a .nii.gz file, or a folder of such files or of DICOM slices"
        )
    return [
        Scan(
            name=f"series {uid}",
            patient=uid if series_are_patients or not slices[0].patient else slices[0].patient,
            read=partial(_read, tuple(slices)),
        )
        for uid, slices in sorted(series.items())
    ]


def _header(path: Path) -> _Slice | str:
    """The slice's place, or in a word what else the file is."""
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(_NEEDED))
        kind = str(header.get("Modality", "DICOM without a modality"))
        if kind != "CT":
            return f"{kind} files"
        if "LOCALIZER" in header.get("ImageType", ()) or "ImagePositionPatient" not in header:
            return "CT localizers"
        if int(header.get("NumberOfFrames") or 1) > 1:
            raise DataError(
                f"{path} holds many frames (enhanced CT), expected one slice a file; convert it "
                "to NIfTI (dcm2niix does)"
            )
        along = np.array(header.ImageOrientationPatient, dtype=np.float64).reshape(2, 3)
        return _Slice(
            path=path,
            series=str(header.SeriesInstanceUID),
            patient=str(header.get("PatientID") or ""),
            corner=np.array(header.ImagePositionPatient, dtype=np.float64).reshape(3),
            along_row=along[0],
            along_column=along[1],
            spacing=(float(header.PixelSpacing[0]), float(header.PixelSpacing[1])),
            shape=(int(header.Rows), int(header.Columns)),
        )
    except InvalidDicomError:
        return "other files"
    except (AttributeError, TypeError, ValueError, EOFError, OSError) as error:
        raise DataError(
            f"{path} has a damaged or incomplete DICOM header ({error}); copy or export it again"
        ) from error


def _read(slices: Sequence[_Slice]) -> UprightVolume:
    first = slices[0]
    for other in slices:
        directions = (
            np.abs(other.along_row - first.along_row).max()
            < 1e-3
            > np.abs(other.along_column - first.along_column).max()
        )
        if other.shape != first.shape or other.spacing != first.spacing or not directions:
            raise DataError(
                f"{other.path} does not match {first.path.name} of the same series in size, "
                "spacing or direction; remove it, or export the series again"
            )
    ordered = sorted(slices, key=lambda one: one.height)
    values = np.stack([_pixels(one) for one in ordered], axis=-1)  # (rows, columns, slices)
    thickness = (ordered[-1].height - ordered[0].height) / max(1, len(ordered) - 1)
    affine = np.eye(4)
    affine[:3, 0] = first.along_column * first.spacing[0]
    affine[:3, 1] = first.along_row * first.spacing[1]
    affine[:3, 2] = first.normal * (thickness or 1.0)
    affine[:2] *= -1  # DICOM counts to the left and posterior, NIfTI to the right and anterior
    return axial(values, affine)


def _pixels(one: _Slice) -> NDArray[np.float32]:
    """The slice's values after its rescaling, in HU for most scanners."""
    try:
        file = pydicom.dcmread(one.path)
        stored = file.pixel_array
    except (AttributeError, EOFError, OSError, ValueError, InvalidDicomError) as error:
        raise DataError(
            f"{one.path} is truncated or damaged ({error}); copy or export it again"
        ) from error
    except (RuntimeError, NotImplementedError) as error:
        raise DataError(
            f"{one.path} is compressed in a way that cannot be read here ({error}); convert the "
            "series to NIfTI (dcm2niix does) or decompress it (gdcmconv --raw)"
        ) from error
    if stored.shape != one.shape:
        raise DataError(f"{one.path} holds pixels of shape {stored.shape}, expected grey values")
    slope, intercept = file.get("RescaleSlope"), file.get("RescaleIntercept")
    slope = 1.0 if slope is None else float(slope)
    intercept = 0.0 if intercept is None else float(intercept)
    return (stored * slope + intercept).astype(np.float32)
