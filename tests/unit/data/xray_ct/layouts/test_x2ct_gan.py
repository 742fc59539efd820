import h5py
import numpy as np
import pytest

from data.xray_ct.layouts.x2ct_gan import FILE, X2ctGanFormat
from protocol.errors import DataError

FORM = X2ctGanFormat()


@pytest.fixture
def arrays():
    """What the published files hold: HU + 1024, and views of 0 … 255."""
    ct = np.full((6, 7, 8), 0, dtype=np.float32)
    ct[3:] = 1024
    ct[5, 0, 7] = 2500
    return {
        "ct": ct,
        "xray1": np.full((5, 5), 51, dtype=np.uint8),
        "xray2": np.full((5, 5), 204, dtype=np.uint8),
        "ori_size": np.int64(320),
        "spacing": np.array([1.0, 2.0, 4.0]),
    }


@pytest.fixture
def write(tmp_path, arrays):
    """Writes the case with some arrays changed, or left out if None."""

    def make(**changes):
        folder = tmp_path / "LIDC-IDRI-0001.20000101.3000566.1"
        folder.mkdir(exist_ok=True)
        with h5py.File(folder / FILE, "w") as file:
            for key, values in (arrays | changes).items():
                if values is not None:
                    file[key] = values
        (case,) = FORM.cases(tmp_path)
        return case

    return make


def test_files_of_the_published_scale_are_read_as_hounsfield_units(write):
    case = write()
    assert case.name == "LIDC-IDRI-0001.20000101.3000566.1"
    extent = FORM.check(case, None)
    assert (extent.shape, extent.voxel_size) == ((6, 7, 8), (1.0, 2.0, 4.0))
    hu = FORM.volume(case, None)
    assert (hu[0, 0, 0], hu[4, 1, 1], hu[5, 0, 7]) == (-1024, 0, 1476)
    front, lateral = FORM.xrays(case)
    assert front.max() == pytest.approx(0.2)
    assert lateral.max() == pytest.approx(0.8)


def test_stored_axes_may_be_others_and_the_spacing_goes_with_them(write):
    case = write()
    extent = FORM.check(case, "ASR")
    assert (extent.shape, extent.voxel_size) == ((7, 6, 8), (2.0, 1.0, 4.0))
    assert FORM.volume(case, "ASR")[6, 0, 0] == 1476


@pytest.mark.parametrize("spacing", [None, np.array([1.0, 0.0, 1.0]), np.array([1.0, 1.0])])
def test_a_spacing_that_says_nothing_is_none(write, spacing):
    assert FORM.check(write(spacing=spacing), None).voxel_size is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"xray2": None}, r"no array of numbers 'xray2' \(it has ct, ori_size, spacing, xray1\)"),
        ({"ct": np.zeros((6, 7))}, "expected a volume"),
        ({"xray1": np.zeros(5)}, r"xray1 has the shape \(5,\)"),
    ],
)
def test_files_without_the_arrays_are_refused_by_their_headers(write, changes, words):
    case = write(**changes)
    with pytest.raises(DataError, match=words):
        FORM.check(case, None)


@pytest.mark.parametrize(
    ("ct", "words"),
    [
        (np.full((6, 6, 6), np.nan), "NaN"),
        (np.full((6, 6, 6), -2000.0), r"expected HU \+ 1024"),
        (np.full((6, 6, 6), 0.5), r"expected HU \+ 1024"),
    ],
)
def test_volumes_on_another_scale_are_refused(write, ct, words):
    case = write(ct=ct)
    with pytest.raises(DataError, match=words):
        FORM.volume(case, None)


@pytest.mark.parametrize(
    "view", [np.full((5, 5), 300), np.full((5, 5), -1), np.zeros((5, 5, 3, 2))]
)
def test_views_on_another_scale_are_refused(write, view):
    case = write(xray1=view)
    with pytest.raises(DataError, match="xray1"):
        FORM.xrays(case)
