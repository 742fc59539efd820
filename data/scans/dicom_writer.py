"""Results as DICOM: series derived from the images that they were made of, with UIDs of their own.

Patient, study and frame of reference stay those of the source; what describes the source's pixels
alone goes. The attributes are those that PS3.3 of the DICOM standard asks of a derived image
(C.7.6.1.1.2 and C.7.6.1.1.4).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from data.scans.dicom import Slice, opened
from data.scans.volume import Millimetres

_LEVELS = 65535
_LONG, _SHORT = 64, 16  # characters of LO and SH
_OF_PIXELS = (
    "NumberOfFrames",
    "ModalityLUTSequence",
    "VOILUTSequence",
    "SmallestImagePixelValue",
    "LargestImagePixelValue",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "IconImageSequence",
    "PlanarConfiguration",
    "PresentationLUTShape",
    "RealWorldValueMappingSequence",
    "WindowCenterWidthExplanation",
)
_OVERLAYS = range(0x6000, 0x6020, 2)
# What a new series carries on of the images that it was made of: whom they show, and why.
_OF_PATIENT_AND_STUDY = (
    "SpecificCharacterSet",
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientAge",
    "StudyInstanceUID",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "StudyDescription",
    "AccessionNumber",
    "ReferringPhysicianName",
)


@dataclass(frozen=True, kw_only=True)
class Derivation:
    """What a series is."""

    kind: str  # in a word, such as RESIDUAL: the last part of the image type
    description: str  # of how it was derived
    number: int  # tells the series of one source apart, from 1 on


def write_derived(
    folder: Path,
    slices: Sequence[Slice],
    values: Sequence[NDArray[np.float32]],
    derivation: Derivation,
    *,
    labels: bool = False,
) -> None:
    """A series that lies where its source does, a slice for each of the source's.

    Args:
        folder: to fill; it must be there.
        slices: of the source.
        values: of each slice, (rows, columns); rescaled to 16 bits over all of the series.
        labels: the values are whole numbers, and stored as they are.

    Raises:
        OSError: it cannot be written.
    """
    low, high = min(float(v.min()) for v in values), max(float(v.max()) for v in values)
    slope, intercept = (1.0, 0.0) if labels else ((high - low) / _LEVELS or 1.0, low)
    # As the header says them: a decimal string has 16 characters at most.
    slope, intercept = float(_decimal(slope)), float(_decimal(intercept))
    series = generate_uid()
    for number, (one, image) in enumerate(zip(slices, values, strict=True), start=1):
        header = opened(one.path)
        source = _reference(header)
        _forget_pixels(header)
        _identify(header, series, number, derivation, [source])
        header.SeriesNumber = int(header.get("SeriesNumber") or 0) + 1000 * derivation.number
        stored = np.rint((image - intercept) / slope).clip(0, _LEVELS).astype(np.uint16)
        _set_pixels(header, stored, slope, intercept, (low, high))
        _save(folder / f"{number:04d}.dcm", header)


def write_ct(
    folder: Path,
    hu: NDArray[np.float32],
    voxel_size: Millimetres,
    sources: Sequence[Path],
    derivation: Derivation,
) -> None:
    """A CT series of a volume whose middle is the origin, in the study of its sources.

    Args:
        folder: to fill; it must be there.
        hu: (D, H, W), from head to feet, front to back, the patient's right to the left.
        voxel_size: mm along the same axes.
        sources: DICOM files of one patient and study, the first of which says whose.

    Raises:
        OSError: it cannot be written.
    """
    series, frame = generate_uid(), generate_uid()
    headers = [opened(path, stop_before_pixels=True) for path in sources]
    whole = np.rint(hu).clip(-32768, 32767).astype(np.int16)
    depth, rows, columns = voxel_size
    corner = [-(n - 1) / 2 * mm for n, mm in zip(hu.shape, voxel_size, strict=True)]
    window = (float(whole.min()), float(whole.max()))
    for number, image in enumerate(whole, start=1):
        header = Dataset()
        for name in _OF_PATIENT_AND_STUDY:
            if name in headers[0]:
                header[name] = headers[0][name]
        header.SOPClassUID = CTImageStorage
        header.Modality = "CT"
        _identify(header, series, number, derivation, [_reference(one) for one in headers])
        header.SeriesNumber = 1000 * derivation.number
        header.FrameOfReferenceUID = frame
        header.PositionReferenceIndicator = ""
        header.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        height = -corner[0] - (number - 1) * depth
        place = (corner[2], corner[1], height)
        header.ImagePositionPatient = [_decimal(mm) for mm in place]
        header.PixelSpacing = [_decimal(rows), _decimal(columns)]
        header.SliceThickness = _decimal(depth)
        header.RescaleType = "HU"
        _set_pixels(header, image, 1.0, 0.0, window)
        _save(folder / f"{number:04d}.dcm", header)


def _reference(header: Dataset) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID = header.SOPClassUID
    reference.ReferencedSOPInstanceUID = header.SOPInstanceUID
    return reference


def _forget_pixels(header: Dataset) -> None:
    """Remove what is true of the source's pixels and scanner alone."""
    header.remove_private_tags()
    for name in _OF_PIXELS:
        if name in header:
            del header[name]
    for tag in [tag for tag in header.keys() if tag.group in _OVERLAYS]:  # noqa: SIM118
        del header[tag]


def _identify(
    header: Dataset,
    series: str,
    number: int,
    derivation: Derivation,
    sources: Sequence[Dataset],
) -> None:
    header.SOPInstanceUID = generate_uid()
    header.SeriesInstanceUID = series
    header.InstanceNumber = number
    header.ImageType = ["DERIVED", "SECONDARY", "OTHER", derivation.kind[:_SHORT]]
    before = str(header.get("SeriesDescription") or "").strip()
    header.SeriesDescription = f"{before} {derivation.kind.lower()}".strip()[-_LONG:]
    header.DerivationDescription = derivation.description
    header.SourceImageSequence = list(sources)


def _set_pixels(
    header: Dataset,
    stored: NDArray[np.generic],
    slope: float,
    intercept: float,
    window: tuple[float, float],
) -> None:
    header.Rows, header.Columns = stored.shape
    header.SamplesPerPixel = 1
    header.PhotometricInterpretation = "MONOCHROME2"
    header.BitsAllocated = header.BitsStored = 16
    header.HighBit = 15
    header.PixelRepresentation = int(stored.dtype.kind == "i")
    header.RescaleSlope, header.RescaleIntercept = _decimal(slope), _decimal(intercept)
    low, high = window
    header.WindowCenter = _decimal((low + high) / 2)
    header.WindowWidth = _decimal(max(high - low, slope))
    header.PixelData = stored.astype(stored.dtype.newbyteorder("<")).tobytes()
    header["PixelData"].VR = "OW"


def _decimal(value: float) -> str:
    """A number as a decimal string, which has at most 16 characters."""
    return next(text for digits in range(15, 0, -1) if len(text := f"{value:.{digits}g}") <= 16)


def _save(path: Path, header: Dataset) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = header.SOPClassUID
    meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.file_meta = meta
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of fields that were copied from the source as they are
        pydicom.dcmwrite(
            path, header, enforce_file_format=True, little_endian=True, implicit_vr=False
        )
