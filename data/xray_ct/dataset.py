"""Pairs of two X-rays and the CT volume they show, read from any of three layouts.

Volumes are (D, H, W), from head to feet, front to back, and the patient's right to the left. The
front view is (D, W), the lateral one (D, H): the rows of both are the volume's slices.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from data.scans.volume import Millimetres
from data.seeds import drawn_seed, fixed_seed
from data.splits import Split
from data.xray_ct.agreement import Reading, doubt
from data.xray_ct.cases import XrayCtCases
from data.xray_ct.layouts.format import CANONICAL
from data.xray_ct.prepare.phantoms import XRAY_CT_PHANTOMS
from data.xray_ct.settings import XrayCtSettings
from data.xray_ct.windows import Corner
from protocol.errors import SettingsError

__all__ = ["XrayCtPatches", "XrayCtSettings", "XrayCtVolumes"]

Array = NDArray[np.float32]

FAINT = 0.1  # of white, which an X-ray of a body reaches

_log = logging.getLogger(__name__)


class XrayCtVolumes:
    """One split's pairs with whole volumes, as a map-style data set.

    It may be forked and pickled.
    """

    def __init__(self, settings: XrayCtSettings, split: Split) -> None:
        """Look at the headers of all the split's files; phantoms are made first if asked for.

        The log says so if the X-rays and the volume of the first case to train on do not fit
        together as they are read.

        Raises:
            DataError: a file is missing or malformed, the layout cannot be told, or splits share
                patients.
        """
        if settings.generate is not None:
            XRAY_CT_PHANTOMS.ensure(settings.root, settings.generate)
        self.split = split
        self._flip = settings.flip and split == "train"
        self._cases = XrayCtCases(settings, split)
        if split == "train":
            self._say_what_is_doubtful(settings)

    def __len__(self) -> int:
        return len(self._cases)

    @property
    def cases(self) -> XrayCtCases:
        """The pairs themselves, without anything random."""
        return self._cases

    def name(self, index: int) -> str:
        """The case's name."""
        return self._cases.name(index)

    def voxel_size(self, index: int) -> Millimetres:
        """The mm between the slices, rows and columns of the case's volume as it is given out."""
        return self._cases.voxel_size(index)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """One sample; in training its seed and flip come from torch's global generator.

        Returns:
            `xrays` (2, S, S) float32 in [0, 1], the front view first; `ct` (1, D, H, W) float32 in
            [0, 1], the share of the window of Hounsfield units; `index` the given one; `seed`, a
            whole number from which what is random about the sample is to be derived.

        Raises:
            IndexError: `index` is not in 0 … len − 1.
            DataError: a file can no longer be read, or holds values no such file has.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        xrays, volume = self._cases.xrays(index), self._cases.volume(index)
        if self._flip and bool(torch.rand(()) < 0.5):
            xrays, volume = mirrored(xrays, volume)
        return {"xrays": xrays, "ct": volume, "index": index, "seed": self._seed(index)}

    def _say_what_is_doubtful(self, settings: XrayCtSettings) -> None:
        xrays, name = self._cases.xrays(0), self.name(0)
        if xrays.max() < FAINT:
            _log.warning(
                "%s: the X-rays of %s reach only %.0f %% of white, as 12 bits that are stored in "
                "16 do; scale them, or little is seen",
                settings.root,
                name,
                100 * xrays.max(),
            )
        found = doubt(xrays, self._cases.volume(0), settings.ct_axes or CANONICAL)
        if found is not None:
            _log.warning(
                "%s: the X-rays and the volume of %s correlate by %.2f as they are read, and by "
                "%.2f %s",
                settings.root,
                name,
                found.correlation,
                found.better,
                " or ".join(self._way(reading, settings) for reading in found.readings[:3]),
            )

    def _way(self, reading: Reading, settings: XrayCtSettings) -> str:
        """What would have to be set for a pair to be read so."""
        ways = []
        if reading.axes and self._cases.says_its_axes:
            ways.append(f"if the files' headers led to {reading.axes}: correct them")
        elif reading.axes:
            ways.append(f"with data.ct_axes: {reading.axes}")
        if reading.turn:
            ways.append(f"with data.xray_turn: {(settings.xray_turn + reading.turn) % 360}")
        if reading.swapped:
            ways.append("with the front and the lateral view exchanged")
        if reading.inverted:
            ways.append(
                f"with data.xray_invert: {str(not settings.xray_invert).lower()}, as bright and "
                "dark are exchanged"
            )
        return " and ".join(ways)

    def _seed(self, index: int) -> int:
        return drawn_seed() if self.split == "train" else fixed_seed(self.name(index))


class XrayCtPatches:
    """One split's pairs with a patch of the volume in its place, as a map-style data set.

    To train on, a sample is a volume, of which every look takes another patch; to validate and
    test on, a sample is one of a few patches that stay the same. It may be forked and pickled.
    """

    def __init__(
        self,
        settings: XrayCtSettings,
        split: Split,
        patch_size: int,
        *,
        patches_per_volume: int = 1,
    ) -> None:
        """Look at the headers of all the split's files.

        Args:
            settings: of the data.
            split: train, validation or test.
            patch_size: voxels of a patch's edge.
            patches_per_volume: of each volume that is not trained on.

        Raises:
            SettingsError: a patch is larger than a volume, or none is asked for.
            DataError: as from XrayCtVolumes.
        """
        if not 1 <= patch_size <= settings.ct_size:
            raise SettingsError(
                f"patch_size: found {patch_size}, expected 1 to {settings.ct_size}, which is "
                "data.ct_size; lower it, or raise data.ct_size"
            )
        if patches_per_volume < 1:
            raise SettingsError(
                f"patches_per_volume: found {patches_per_volume}, expected 1 or more"
            )
        self._volumes = XrayCtVolumes(settings, split)
        self._patch = patch_size
        self._each = 1 if split == "train" else patches_per_volume
        self._room = settings.ct_size - patch_size  # places a corner can be at, less one
        self._extent = np.full(3, settings.ct_size, dtype=np.int64)

    @property
    def volumes(self) -> XrayCtVolumes:
        """The whole volumes that the patches are of."""
        return self._volumes

    def __len__(self) -> int:
        return len(self._volumes) * self._each

    def name(self, index: int) -> str:
        """The name of the case that a sample is of."""
        return self._volumes.name(index // self._each)

    def voxel_size(self, index: int) -> Millimetres:
        """The mm between a sample's slices, rows and columns."""
        return self._volumes.voxel_size(index // self._each)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """One sample; in training patch, seed and flip come from torch's global generator.

        Returns:
            As of XrayCtVolumes, with `ct` (1, p, p, p); and `corner` (3,) int64, the patch's first
            voxel in the volume, and `extent` (3,) int64, the voxels of the volume.

        Raises:
            IndexError: `index` is not in 0 … len − 1.
            DataError: as from XrayCtVolumes.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        place, number = divmod(index, self._each)
        sample = self._volumes[place]
        corner = self._corner(index, number)
        d, h, w = (slice(start, start + self._patch) for start in corner)
        return {
            **sample,
            "ct": np.ascontiguousarray(sample["ct"][:, d, h, w]),
            "index": index,
            "seed": sample["seed"] if number == 0 else fixed_seed(f"{self.name(index)}/{number}"),
            "corner": np.array(corner, dtype=np.int64),
            "extent": self._extent.copy(),
        }

    def _corner(self, index: int, number: int) -> Corner:
        if self._volumes.split == "train":
            d, h, w = (int(start) for start in torch.randint(self._room + 1, (3,)))
            return d, h, w
        fixed = fixed_seed(f"corner {self.name(index)}/{number}")
        side = self._room + 1
        return fixed % side, fixed // side % side, fixed // side**2 % side


def mirrored(xrays: Array, volume: Array) -> tuple[Array, Array]:
    """The same pair with left and right exchanged; what the lateral view shows stays the same.

    Args:
        xrays: (2, S, S), the front view first.
        volume: (1, D, H, W).
    """
    other = xrays.copy()
    other[0] = xrays[0, :, ::-1]
    return other, np.ascontiguousarray(volume[..., ::-1])
