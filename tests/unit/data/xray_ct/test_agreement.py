import numpy as np
import pytest

from data.physics.radiograph import radiographs
from data.xray_ct.agreement import Reading, doubt
from data.xray_ct.layouts.format import turned
from data.xray_ct.prepare.thorax import draw_thorax


@pytest.fixture(params=[(0, 9), (1, 24), (2, 40)], ids=str, scope="module")
def pair(request):
    """X-rays and volume of a patient, both in [0, 1]."""
    patient, size = request.param
    chest = draw_thorax(0, patient, 16)
    xrays = radiographs(chest.hu, chest.voxel_size, size)
    return xrays, np.clip((chest.hu[None] + 1024) / 2524, 0, 1)


def readings(xrays, volume, **options):
    found = doubt(xrays, volume, **options)
    return () if found is None else found.readings


def test_a_pair_that_fits_is_not_doubted(pair):
    assert doubt(*pair) is None


def test_upside_down_may_be_the_volume_or_its_xrays(pair):
    xrays, volume = pair
    wrong = readings(xrays, volume[:, ::-1])
    assert Reading(axes="SPL") in wrong
    assert all(reading.turn in (0, 180) and not reading.inverted for reading in wrong)
    assert Reading(turn=180) in readings(np.rot90(xrays, 2, axes=(1, 2)), volume)


def test_inverted_xrays_are_said_to_be_inverted_and_not_turned(pair):
    xrays, volume = pair
    assert readings(1 - xrays, volume) == (Reading(inverted=True),)


@pytest.mark.parametrize("axes", ["PLI", "LIP", "SAR"])
def test_the_letters_that_are_named_make_the_volume_fit(pair, axes):
    xrays, volume = pair
    stored = np.asarray(volume[0])
    # Stored so that reading it by these letters gives the volume.
    order = [next(i for i, p in enumerate(("IS", "PA", "LR")) if one in p) for one in axes]
    stored = stored.transpose(order)
    for place, letter in enumerate(axes):
        if letter in "SAR":
            stored = np.flip(stored, place)
    assert turned(stored, axes).tolist() == volume[0].tolist()
    found = readings(xrays, np.ascontiguousarray(stored)[None])
    assert any(reading.axes for reading in found)
    for reading in found:
        assert reading.axes is None or doubt(xrays, turned(stored, reading.axes)[None]) is None


def test_what_was_said_of_the_axes_before_is_reckoned_with(pair):
    xrays, volume = pair
    # Stored from head to feet, and taken for the reverse.
    assert Reading(axes="IPL") in readings(xrays, volume[:, ::-1], axes="SPL")


def test_views_in_the_wrong_order_are_noticed(pair):
    xrays, volume = pair
    assert any(reading.swapped or reading.axes for reading in readings(xrays[::-1], volume))


def test_what_looks_the_same_every_way_is_taken_as_it_is():
    assert doubt(np.zeros((2, 8, 8), np.float32), np.ones((1, 4, 4, 4), np.float32)) is None
    ramp = np.abs(np.linspace(-1, 1, 8, dtype=np.float32))
    xrays = np.broadcast_to(ramp[:, None], (2, 8, 8))
    assert doubt(xrays, np.broadcast_to(ramp[:, None, None], (1, 8, 8, 8))) is None
