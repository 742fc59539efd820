"""LoDoPaB-CT: low-dose parallel-beam sinograms and the images they were simulated from."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Any

import h5py
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from data.geometry import (
    LODOPAB_DETECTOR_HALF_WIDTH,
    LODOPAB_IMAGE_HALF_WIDTH,
    ParallelGeometry,
)
from data.lodopab.hdf5_pool import Hdf5Pool
from data.lodopab.layout import DATASET, IMAGES_PER_FILE, check_alike, check_split
from data.lodopab.patients import check_patients
from data.lodopab.plausible import is_close, mass_ratio, mistake, shows_something
from data.lodopab.prepare.phantoms import LODOPAB_PHANTOMS
from data.lodopab.prepare.settings import LodopabPhantomSettings
from data.reading import reading
from data.splits import Split
from protocol.errors import DataError

Metres = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Radians = Annotated[float, Field(allow_inf_nan=False)]

_LOOKED_AT = 4  # images, when a split is opened

_log = logging.getLogger(__name__)


class LodopabSettings(BaseModel):
    """The keys of the `data:` section for data in LoDoPaB-CT's layout."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    root: Path = Field(description="the folder that holds the .hdf5 files")
    train_images: PositiveInt | None = Field(None, description="at most the first so many")
    validation_images: PositiveInt | None = Field(None, description="at most the first so many")
    test_images: PositiveInt | None = Field(None, description="at most the first so many")
    image_half_width: Metres = Field(
        LODOPAB_IMAGE_HALF_WIDTH, description="metres from the image's middle to its edge"
    )
    detector_half_width: Metres = Field(
        LODOPAB_DETECTOR_HALF_WIDTH, description="metres from the detector's middle to its edge"
    )
    first_angle: Radians | None = Field(None, description="LoDoPaB-CT's, ½·π/angles, if not given")
    angle_step: Radians | None = Field(None, description="LoDoPaB-CT's, π/angles, if not given")
    generate: LodopabPhantomSettings | None = Field(
        None, description="make a data set of phantoms here if `root` does not exist yet"
    )

    def limit(self, split: Split) -> int | None:
        """The most images to use of a split; None for all of them."""
        return {
            "train": self.train_images,
            "validation": self.validation_images,
            "test": self.test_images,
        }[split]

    def geometry(self, angles: int, detectors: int, image_size: int) -> ParallelGeometry:
        """The scan's geometry at the sampling that the files have."""
        published = ParallelGeometry.lodopab(
            angles=angles, detectors=detectors, image_size=image_size
        )
        return ParallelGeometry(
            angles=angles,
            detectors=detectors,
            image_size=image_size,
            first_angle=published.first_angle if self.first_angle is None else self.first_angle,
            angle_step=published.angle_step if self.angle_step is None else self.angle_step,
            image_half_width=self.image_half_width,
            detector_half_width=self.detector_half_width,
        )


class LodopabDataset:
    """One split, as a map-style data set; it reads one image at a time and keeps none.

    It may be forked, sent to loader workers and pickled: files are opened by the process that
    reads them, when it does.
    """

    def __init__(self, settings: LodopabSettings, split: Split) -> None:
        """Check the headers of all the split's files, after generating them if that is asked for.

        Raises:
            DataError: a file is missing, truncated or foreign, or splits share patients.
        """
        if settings.generate is not None:
            LODOPAB_PHANTOMS.ensure(settings.root, settings.generate)
        self.split = split
        self._files = check_split(settings.root, split)
        check_alike(settings.root, split, self._files)
        check_patients(settings.root, split, self._files.count)
        self._length = min(self._files.count, settings.limit(split) or self._files.count)
        angles, detectors = self._files.sinogram_shape
        self._geometry = settings.geometry(angles, detectors, self._files.image_shape[0])
        self._pool = Hdf5Pool()
        self._check_first()

    @property
    def geometry(self) -> ParallelGeometry:
        """The scan that every sinogram of this split comes from."""
        return self._geometry

    @property
    def observation_files(self) -> tuple[Path, ...]:
        """The files that the sinograms are read from."""
        return self._files.observations[: -(-self._length // IMAGES_PER_FILE)]

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> dict[str, Any]:
        """One sample.

        Returns:
            `sinogram` (1, angles, detectors) float32, line integrals in metres of the normalised
            attenuation; `image` (1, N, N) float32 in [0, 1]; `index` the given one.

        Raises:
            IndexError: `index` is not in 0 … len − 1.
            DataError: the file can no longer be read, or holds values no scan has.
        """
        return {"sinogram": self.sinogram(index), "image": self.image(index), "index": index}

    def sinogram(self, index: int) -> NDArray[np.float32]:
        """One sample's sinogram alone, as in the sample."""
        number, within = self._place(index)
        return self._read(self._files.observations[number], within)[np.newaxis]

    def image(self, index: int) -> NDArray[np.float32]:
        """One sample's image alone, as in the sample."""
        number, within = self._place(index)
        image = self._read(self._files.images[number], within)
        if image.min() < 0 or image.max() > 1:
            raise DataError(
                f"{self._files.images[number]}: image {within} has values from {image.min():g} to "
                f"{image.max():g}, expected 0 to 1; normalise by LoDoPaB-CT's largest attenuation"
            )
        return image[np.newaxis]

    def _check_first(self) -> None:
        """Whether the first images show something, and the first of these has its sinogram.

        Raises:
            DataError: its sinogram is stored in another way.
        """
        first = range(min(len(self), _LOOKED_AT))
        shown = next((i for i in first if shows_something(self.image(i)[0])), None)
        name = self._files.observations[0]
        if shown is None:
            _log.warning("%s: the first %d images show nothing but air", name, len(first))
            return
        sinogram, image = self.sinogram(shown)[0], self.image(shown)[0]
        if found := mistake(sinogram, image, self._geometry):
            raise DataError(f"{name}: sinogram {shown} does not belong to its image: {found}")
        ratio = mass_ratio(sinogram, image, self._geometry)
        if not is_close(ratio):
            _log.warning(
                "%s: the projections of sinogram %d sum up to %.3g times its image; check the unit "
                "(line integrals of normalised attenuation, in metres) and data.image_half_width "
                "and data.detector_half_width",
                name,
                shown,
                ratio,
            )

    def _place(self, index: int) -> tuple[int, int]:
        """The number of the file, and the place in it."""
        if not 0 <= index < self._length:
            raise IndexError(f"image {index} of {self._length}")
        return divmod(index, IMAGES_PER_FILE)

    def _read(self, path: Path, within: int) -> NDArray[np.float32]:
        way = f"image {within} was there at the start: copy or download the file again"
        with reading(path, "LoDoPaB-CT's any more", way=way, missing=way):
            data: h5py.Dataset = self._pool.file(path)[DATASET]
            values = np.asarray(data[within], dtype=np.float32)
        # The sum is non-finite when any value is, and needs no temporary array.
        if not np.isfinite(values.sum(dtype=np.float64)):
            raise DataError(
                f"{path}: image {within} has NaN or infinite values; the file is damaged: copy or "
                "download it again"
            )
        return values
