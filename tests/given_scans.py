"""Scans as `predict` is given them: heads with a lesion, series and X-rays in DICOM."""

from __future__ import annotations

import numpy as np
import pydicom
from pydicom.uid import MRImageStorage, generate_uid

LESION = np.array([-25.0, 20.0, 10.0])  # mm to the right, anterior, superior

OBLIQUE = np.array(  # left, anterior and superior, turned by a fifth of a right angle
    [[-2.8, 0.9, 0.0, 85.0], [0.9, 2.8, 0.0, -125.0], [0.0, 0.0, 6.0, -63.0], [0.0, 0.0, 0.0, 1.0]]
)


def head(affine, shape):
    """A brain with a bright ball in it, sampled on a grid."""
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    points = index @ affine[:3, :3].T + affine[:3, 3]
    inside = ((points / np.array([62.0, 78.0, 52.0])) ** 2).sum(-1) < 1
    texture = 400 + 60 * np.sin(points[..., 0] / 25) * np.sin(points[..., 1] / 25)
    values = np.where(((points - LESION) ** 2).sum(-1) < 13.0**2, 1000.0, texture)
    return np.where(inside, values, 0.0).astype(np.float32)


def middle_of(found, affine):
    return affine[:3, :3] @ np.argwhere(found).mean(axis=0) + affine[:3, 3]


def write_mr(folder, affine, shape, values):
    """An axial MR series of (rows, columns, slices) on a grid in mm right, anterior, superior."""
    folder.mkdir(parents=True)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    lengths = np.linalg.norm(lps[:3, :3], axis=0)
    series = generate_uid()
    for k in range(shape[2]):
        d = pydicom.Dataset()
        d.SOPClassUID, d.SOPInstanceUID = MRImageStorage, generate_uid()
        d.Modality, d.ImageType, d.PatientID = "MR", ["ORIGINAL", "PRIMARY", "M"], "P7"
        d.StudyInstanceUID, d.SeriesInstanceUID = "1.2.3", series
        d.FrameOfReferenceUID, d.SeriesNumber, d.InstanceNumber = "1.2.4", 3, k + 1
        d.ImagePositionPatient = [f"{x:.6g}" for x in lps[:3, :3] @ [0, 0, k] + lps[:3, 3]]
        along = [*(lps[:3, 1] / lengths[1]), *(lps[:3, 0] / lengths[0])]
        d.ImageOrientationPatient = [f"{x:.8f}" for x in along]
        d.PixelSpacing = [f"{lengths[0]:.8g}", f"{lengths[1]:.8g}"]
        d.Rows, d.Columns = shape[:2]
        d.SamplesPerPixel, d.PhotometricInterpretation = 1, "MONOCHROME2"
        d.BitsAllocated, d.BitsStored, d.HighBit, d.PixelRepresentation = 16, 12, 11, 0
        d.add_new(0x00091001, "LO", "of a scanner")
        d.PixelData = values[..., k].astype("<u2").tobytes()
        d.file_meta = pydicom.dataset.FileMetaDataset()
        d.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        d.save_as(folder / f"IM{k:03d}.dcm", enforce_file_format=True)


def write_xray(path, image, kind="DX"):
    d = pydicom.Dataset()
    d.SOPClassUID, d.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1.1", generate_uid()
    d.Modality, d.PatientID, d.StudyInstanceUID = kind, "P8", "1.2.5"
    d.Rows, d.Columns = image.shape
    d.SamplesPerPixel, d.PhotometricInterpretation = 1, "MONOCHROME1"
    d.BitsAllocated, d.BitsStored, d.HighBit, d.PixelRepresentation = 16, 12, 11, 0
    d.PixelData = np.rint((1 - image) * 4095).astype("<u2").tobytes()
    d.file_meta = pydicom.dataset.FileMetaDataset()
    d.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    d.save_as(path, enforce_file_format=True)
