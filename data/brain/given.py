"""Brains that come by themselves: to the model's grid as its training's were, and back again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from data.brain.lists import Case, healthy_cases
from data.brain.prepare.names import read_name
from data.brain.prepare.settings import MaskMethod
from data.brain.prepare.sources import Source, find_given
from data.brain.prepare.standard import VOXEL, standardise_upright
from data.brain.preprocess import reduce_upright
from data.brain.settings import BrainSettings
from data.scans.dicom import Series, sorted_series
from data.scans.files import is_volume, read_volume
from data.scans.nifti import read_header
from data.scans.volume import Millimetres, StoredVolume, axial, axial_extent
from data.scans.walk import files_below
from protocol.errors import DataError

SIDES = (VOXEL, VOXEL, VOXEL)

_THICK = 4.0  # times a slice's pixels from which slices are thick
_UNSEEN = 0.02  # share of the brain outside of what the model sees, from which it is told


@dataclass(frozen=True, kw_only=True)
class GivenBrain:
    """A volume that was found and not yet read."""

    source: Source
    files: tuple[Path, ...]
    read: Callable[[], StoredVolume]  # raises DataError
    series: Series | None = None  # where it came as DICOM


@dataclass(frozen=True)
class Space:
    """The grid that a volume came on."""

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]  # (4, 4), from indices to mm to the right, anterior and superior


@dataclass(frozen=True, kw_only=True)
class PreparedBrain:
    """What the model is given, and where that lies; arrays are (Z, H, W), upright."""

    image: NDArray[np.float32]  # in [0, 1], zero outside the mask
    mask: NDArray[np.bool_]
    affine: NDArray[np.float64]  # (4, 4), from its indices to mm right, anterior and superior
    window: tuple[float, float]  # the volume's own values that 0 and 1 stand for
    space: Space  # of the volume
    remarks: tuple[str, ...]  # what a user should look at
    mask_from: str  # a file's name, or the method that found it

    def back(self, values: NDArray[np.generic], space: Space | None = None) -> NDArray[np.float32]:
        """Values (Z, H, W) on the volume's own grid, or on another; 0 outside of the brain seen.

        Labels, which are whole numbers, are those of the nearest voxel; others are interpolated
        linearly between voxels of the brain.
        """
        if values.dtype.kind in "bui":
            return self._on_grid(values, space, order=0)
        inside = self._on_grid(self.mask, space, order=0) > 0
        share = np.where(inside, self._on_grid(self.mask, space, order=1), 1)
        found = self._on_grid(values * self.mask, space, order=1)
        return np.where(inside, found / share, 0).astype(np.float32)

    def _on_grid(
        self, values: NDArray[np.generic], space: Space | None, *, order: int
    ) -> NDArray[np.float32]:
        space = space or self.space
        to_index = np.linalg.inv(self.affine) @ space.affine
        found = ndimage.affine_transform(
            values.astype(np.float32),
            to_index[:3, :3],
            to_index[:3, 3],
            output_shape=space.shape,
            order=order,
            mode="grid-constant",
        )
        return np.asarray(found, dtype=np.float32)


def find_brains(
    source: Path,
    settings: BrainSettings,
    mask: Path | None = None,
    damaged: Callable[[Path, DataError], None] | None = None,
) -> tuple[list[GivenBrain], list[str]]:
    """The brains that a path names: a volume's file, or a folder of such and of MR in DICOM.

    Args:
        mask: of the only brain there, in place of the one beside it.
        damaged: told of a DICOM file whose header is damaged; without it that is an error.

    Returns:
        The brains, and sentences on files that are not used.

    Raises:
        DataError: there is none, or a mask is given for several.
    """
    if not source.exists():
        raise DataError(f"there is no file or folder {source}; check the path", key="--input")
    found: list[GivenBrain] = []
    notes: list[str] = []
    if source.is_dir() or is_volume(source):
        volumes, notes = find_given(source, settings.mode)
        found = [_of_file(one) for one in volumes]
    if source.is_dir() or not found:
        paths = files_below(source) if source.is_dir() else [source]
        slices = (path for path in paths if path.is_file() and not is_volume(path))
        series, others = sorted_series(slices, "MR", damaged)
        found += [_of_series(one, source) for one in series]
        notes += [f"{len(left)} {why} are left out." for why, left in others.items() if left]
    if not found:
        raise DataError(
            f"{source} holds no {settings.mode} volume (.nii.gz, .mgz, .nrrd, .mha) and no MR "
            f"series in DICOM{''.join(f'; {note}' for note in notes)}",
            key="--input",
        )
    if mask is not None:
        if len(found) > 1:
            raise DataError(
                f"found one mask for {len(found)} brains; put each brain's mask beside it as "
                "NAME_mask.nii.gz, or name one brain",
                key="--mask",
            )
        found = [_with_mask(found[0], mask)]
    return found, notes


def _of_file(source: Source) -> GivenBrain:
    files = (source.image, *((source.mask,) if source.mask else ()))
    return GivenBrain(source=source, files=files, read=lambda: read_volume(source.image))


def _of_series(series: Series, source: Path) -> GivenBrain:
    paths = tuple(one.path for one in series.slices)
    first = series.slices[0]
    place = Source(
        subject=first.path.parent.name if source.is_dir() else first.path.stem,
        person=first.patient,
        image=first.path.parent if source.is_dir() else source,
        mask=None,
        segmentation=None,
    )
    return GivenBrain(source=place, files=paths, read=series.stored, series=series)


def _with_mask(brain: GivenBrain, mask: Path) -> GivenBrain:
    files = (*(path for path in brain.files if path != brain.source.mask), mask)
    return replace(brain, source=replace(brain.source, mask=mask), files=files)


def trained_voxel_size(settings: BrainSettings) -> Millimetres | None:
    """Millimetres, as of a volume, of the first one that was trained on; None if it is gone."""
    try:
        first = healthy_cases(settings.root, "train", settings.fold, settings.mode)[0]
        header = read_header(first.image)
    except DataError:
        return None
    return axial_extent(header.shape, header.affine)[1]


def prepare_given(
    brain: GivenBrain,
    settings: BrainSettings,
    method: MaskMethod,
    voxel_size: Millimetres | None = None,
) -> PreparedBrain:
    """Read a brain and bring it to the model's grid, as `prepare brain` and training would.

    Args:
        voxel_size: of the volumes that the model was trained on, before they were reduced; what
            `prepare brain` makes if not given.

    Raises:
        DataError: a file is damaged, is no brain by MRI, or has no brain that stands out.
    """
    stored = brain.read()
    first, second, third = stored.values.shape
    upright = axial(stored.values, stored.affine, stored.remarks)
    standard = standardise_upright(upright, brain.source, method, voxel_size or SIDES)
    assert standard.affine is not None, "it was read just now"
    source = brain.source
    case = Case(
        subject=source.subject, dataset="", image=source.image, mask=source.mask, segmentation=None
    )
    reduced = reduce_upright(
        case,
        standard.image,
        voxel_size or SIDES,
        standard.mask,
        np.zeros_like(standard.mask),
        settings,
    )
    low, high = reduced.window
    affine = standard.affine @ reduced.to_image
    seen = float(reduced.mask.sum()) * abs(np.linalg.det(affine[:3, :3]))
    whole = float(standard.mask.sum()) * abs(np.linalg.det(standard.affine[:3, :3]))
    return PreparedBrain(
        image=reduced.image,
        mask=reduced.mask,
        affine=affine,
        window=(low + standard.lowest, high + standard.lowest),
        space=Space((first, second, third), stored.affine),
        remarks=(
            *_doubts_of_name(brain, settings),
            *_doubts_of_voxels(upright.voxel_size),
            *standard.remarks,
            *_doubts_of_view(1 - seen / whole),
        ),
        mask_from=standard.mask_from,
    )


def _doubts_of_name(brain: GivenBrain, settings: BrainSettings) -> list[str]:
    contrast = None if brain.series else read_name(brain.source.image).contrast
    if contrast in (None, settings.mode):
        return []
    return [f"its name says {contrast}, and the model was trained on {settings.mode}"]


def _doubts_of_voxels(voxel_size: Millimetres) -> list[str]:
    slices, *pixels = voxel_size
    if slices < _THICK * max(pixels):
        return []
    return [
        f"its slices are {slices:.3g} mm apart and its pixels {max(pixels):.3g} mm wide, so that "
        "what lies between slices is a guess"
    ]


def _doubts_of_view(share: float) -> list[str]:
    if share < _UNSEEN:
        return []
    return [f"{share:.0%} of the brain lie outside of what the model sees (data.crop), unjudged"]
