"""Small data sets and scans, written with the plain libraries rather than the code under test."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

ANGLES, DETECTORS, SIZE = 6, 9, 5


class LodopabFolder:
    """Writes files in LoDoPaB-CT's layout; image i of a split is filled with (i % 100)/100."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(exist_ok=True)

    def split(self, split: str, count: int) -> None:
        for number, start in enumerate(range(0, count, 128)):
            values = (np.arange(start, min(start + 128, count)) % 100 / 100).astype(np.float32)
            self.file(f"observation_{split}_{number:03d}", self._filled(values, ANGLES, DETECTORS))
            self.file(f"ground_truth_{split}_{number:03d}", self._filled(values, SIZE, SIZE))

    def file(self, stem: str, values: np.ndarray, dataset: str = "data") -> Path:
        path = self.root / f"{stem}.hdf5"
        with h5py.File(path, "w") as file:
            file[dataset] = values
        return path

    def patients(self, split: str, ids: list[str]) -> None:
        text = "".join(f"{one}\n" for one in ids)
        (self.root / f"patient_ids_rand_{split}.csv").write_text(text)

    @staticmethod
    def _filled(values: np.ndarray, rows: int, columns: int) -> np.ndarray:
        return np.broadcast_to(values[:, None, None], (len(values), rows, columns)).copy()


@pytest.fixture
def lodopab(tmp_path) -> LodopabFolder:
    return LodopabFolder(tmp_path / "set")


@pytest.fixture
def head():
    """A (24, 20, 16) scan in HU, indices to the right, anterior and superior; air in two slices.

    It is lopsided: bone on the right, and a fat spot in front.
    """
    right, anterior, superior = np.meshgrid(*map(np.arange, (24, 20, 16)), indexing="ij")
    values = np.full((24, 20, 16), -1000.0, dtype=np.float32)
    body = ((right - 11.5) / 10) ** 2 + ((anterior - 9.5) / 8) ** 2 < 1
    values[body] = 40
    values[(right > 17) & body] = 900
    values[(anterior > 14) & body] = -100
    values[(superior == 0) | (superior == 15)] = -1000
    return values


def write_nifti(path: Path, values: np.ndarray, spacing=(2.0, 2.0, 3.0)) -> Path:
    import nibabel

    image = nibabel.nifti1.Nifti1Image(values, np.diag([*spacing, 1.0]))
    nibabel.loadsave.save(image, path)
    return path


def write_dicom(folder: Path, values: np.ndarray, *, series="1.2.3", patient="P1", **changes):
    """A series of axial slices of `values`, (right, anterior, superior) as `head` is.

    The files' names and InstanceNumbers run against the slices' order.
    """
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    folder.mkdir(parents=True, exist_ok=True)
    count = values.shape[2]
    paths = []
    for number in range(count):
        pixels = values[::-1, ::-1, number].T  # rows to posterior, columns to the left
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        path = folder / f"{(number * 7) % count:03d}.dcm"
        file = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
        file.Modality = "CT"
        file.PatientID, file.SeriesInstanceUID = patient, series
        file.SOPClassUID, file.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        file.InstanceNumber = (number * 7) % count
        file.Rows, file.Columns = pixels.shape
        file.PixelSpacing = [2.0, 2.0]
        file.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        file.ImagePositionPatient = [-24.0, -20.0, 3.0 * number]
        file.RescaleSlope, file.RescaleIntercept = 0.5, -1024
        file.BitsAllocated, file.BitsStored, file.HighBit = 16, 16, 15
        file.PixelRepresentation, file.SamplesPerPixel = 0, 1
        file.PhotometricInterpretation = "MONOCHROME2"
        file.PixelData = ((pixels + 1024) * 2).astype("<u2").tobytes()
        for key, value in changes.items():
            setattr(file, key, value)
        pydicom.dcmwrite(path, file, enforce_file_format=True)
        paths.append(path)
    return paths


@pytest.fixture
def nifti():
    return write_nifti


@pytest.fixture
def dicom():
    return write_dicom


BRAIN_SIZES = {"crop": (32, 32, 16), "size": (16, 16, 8)}


@pytest.fixture(scope="session")
def made_brains(tmp_path_factory):
    """A small set of phantom brains in the brain-MRI layout; not to be changed."""
    from data.brain.prepare.phantoms import BRAIN_PHANTOMS
    from data.brain.prepare.settings import BrainPhantomSettings

    root = tmp_path_factory.mktemp("brains") / "set"
    settings = BrainPhantomSettings(
        shape=(32, 32, 16), train=3, validation=2, test=2, lesions=2, folds=2
    )
    BRAIN_PHANTOMS.make(root, settings)
    return root


@pytest.fixture
def brains(made_brains, tmp_path):
    """A copy of it that a test may change."""
    import shutil

    return Path(shutil.copytree(made_brains, tmp_path / "brains"))


@pytest.fixture
def brain_settings(brains):
    """Makes settings that read the copy at half its resolution."""
    from data.brain.settings import BrainSettings

    def make(**changes):
        return BrainSettings(**({"root": brains, **BRAIN_SIZES} | changes))

    return make


CHESTS = {"size": 12, "xray_size": 16, "train": 3, "validation": 1, "test": 2, "seed": 3}


@pytest.fixture(scope="session")
def made_chests(tmp_path_factory):
    """Makes a small set of phantom chests in a layout, once; not to be changed."""
    from data.xray_ct.prepare.phantoms import XRAY_CT_PHANTOMS
    from data.xray_ct.settings import XrayCtPhantomSettings

    roots = {}

    def make(layout):
        if layout not in roots:
            roots[layout] = tmp_path_factory.mktemp("chests") / layout
            XRAY_CT_PHANTOMS.make(roots[layout], XrayCtPhantomSettings(layout=layout, **CHESTS))
        return roots[layout]

    return make


@pytest.fixture
def chests(made_chests, tmp_path):
    """Copies such a set, to a folder that a test may change."""
    import shutil

    def copy(layout="diffx2ct"):
        return Path(shutil.copytree(made_chests(layout), tmp_path / layout))

    return copy


@pytest.fixture
def chest_settings():
    """Makes settings that read such a set at its own size, and keep nothing."""
    from data.xray_ct.settings import XrayCtSettings

    def make(root, **changes):
        sizes = {"ct_size": CHESTS["size"], "xray_size": CHESTS["xray_size"], "cache_gb": 0}
        return XrayCtSettings(**({"root": root, **sizes} | changes))

    return make
