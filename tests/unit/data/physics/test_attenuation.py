import numpy as np
import pytest

from data.physics.attenuation import IntensityScale
from protocol.errors import DataError

HU = IntensityScale()


def test_hounsfield_units_become_normalised_attenuation():
    values = np.array([-3024, -1000, 0, 3071, 5000], dtype=np.float32)
    found = HU(values)
    assert found.dtype == np.float32
    assert found == pytest.approx([0, 0.02 / 81.35858, 20 / 81.35858, 1, 1], abs=1e-6)


def test_a_range_is_mapped_linearly_and_clipped():
    found = IntensityScale((10.0, 210.0))(np.array([0, 10, 60, 210, 300], dtype=np.float32))
    assert found == pytest.approx([0, 0, 0.25, 1, 1])


@pytest.mark.parametrize("values", [[0.0, 229.0], [24.0, 3000.0], [-1.0, 1.0], [-0.5, 0.9]])
def test_what_is_obviously_not_in_hounsfield_units_is_asked_about(values):
    with pytest.raises(DataError, match=r"scan.nii has values from .* give --intensity_range"):
        HU.check("scan.nii", np.array(values, dtype=np.float32))


@pytest.mark.parametrize("padding", [-1000.0, -1024.0, -2000.0, -3024.0])
def test_hounsfield_units_pass_whatever_lies_around_the_scan(padding):
    values = np.full(1000, padding, dtype=np.float32)
    values[:300], values[300:600], values[600:620] = -990, 40, 900
    HU.check("scan.nii", values)


@pytest.mark.parametrize(("place", "value"), [(0, -15.0), (slice(100), -2000.0), (0, -1000.0)])
def test_values_with_an_offset_are_not_taken_for_hounsfield_units_for_a_few_voxels(place, value):
    """Ringing, padding and dead pixels are negative in scans that lost their intercept, too."""
    values = np.full(1000, 24, dtype=np.float32)
    values[300:700], values[700:720] = 1064, 1900
    values[place] = value
    with pytest.raises(DataError, match="near air"):
        HU.check("scan.nii", values)


def test_a_volume_of_air_alone_is_refused():
    with pytest.raises(DataError, match=r"0.0% near soft tissue"):
        HU.check("scan.nii", np.full(10, -1000, dtype=np.float32))


def test_with_a_range_any_finite_values_pass():
    IntensityScale((0.0, 1.0)).check("scan.nii", np.array([0, 229], dtype=np.float32))


@pytest.mark.parametrize("scale", [HU, IntensityScale((0.0, 1.0))])
def test_non_finite_voxels_are_counted(scale):
    values = np.array([-1000, np.nan, np.inf], dtype=np.float32)
    with pytest.raises(DataError, match=r"scan.nii has 2 NaN or infinite voxels"):
        scale.check("scan.nii", values)


def test_a_volume_of_few_whole_numbers_is_told_to_be_of_labels():
    labels = np.zeros((10, 10, 10), np.float32)
    labels[2:4] = 1
    labels[4:] = 2
    with pytest.raises(DataError, match="3 different whole numbers"):
        IntensityScale((0, 2)).check("it", labels)
    IntensityScale((0, 2)).check("it", labels + np.float32(0.5))


def test_nan_outside_the_field_of_view_may_be_taken_for_air():
    values = np.full(1000, -1000, dtype=np.float32)
    values[:300], values[900:] = 40, np.nan
    with pytest.raises(DataError, match=r"it has 100 NaN voxels \(10\.0%\).* --nan_as_air"):
        HU.check("it", values)
    filled = IntensityScale(nan_as_air=True)
    assert filled.check("it", values) == ("100 voxels (10.0%) are NaN, and are taken for air",)
    assert filled(values)[900:] == pytest.approx(filled(values)[300:400])
    ranged = IntensityScale((10.0, 210.0), nan_as_air=True)
    assert ranged(values)[900:] == pytest.approx(0)
    # A scale is judged by numbers alone: NaN is no proof of air.
    with pytest.raises(DataError, match="near air"):
        filled.check("it", np.where(np.isnan(values), values, values + 1024))


@pytest.mark.parametrize("values", [[np.nan, np.nan], [np.nan, np.inf], [40.0, -np.inf]])
def test_what_is_infinite_or_nothing_else_is_never_air(values):
    with pytest.raises(DataError, match="NaN or infinite voxels of 2"):
        IntensityScale(nan_as_air=True).check("it", np.array(values, dtype=np.float32))
