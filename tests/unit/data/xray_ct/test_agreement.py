import numpy as np
import pytest

from data.physics.radiograph import radiographs
from data.xray_ct.agreement import upside_down
from data.xray_ct.prepare.thorax import draw_thorax


@pytest.mark.parametrize("size", [9, 24])
@pytest.mark.parametrize("patient", [0, 1, 2])
def test_a_volume_and_its_xrays_agree_unless_one_is_upside_down(patient, size):
    chest = draw_thorax(0, patient, 16)
    xrays = radiographs(chest.hu, chest.voxel_size, size)
    volume = chest.hu[None] + 1024
    assert not upside_down(xrays, volume)
    assert upside_down(xrays, volume[:, ::-1])
    assert upside_down(xrays[:, ::-1], volume)


def test_what_looks_the_same_both_ways_is_taken_as_it_is():
    assert not upside_down(np.zeros((2, 8, 8), np.float32), np.ones((1, 4, 4, 4), np.float32))
    ramp = np.abs(np.linspace(-1, 1, 8, dtype=np.float32))
    xrays = np.broadcast_to(ramp[:, None], (2, 8, 8))
    assert not upside_down(xrays, np.broadcast_to(ramp[:, None, None], (1, 8, 8, 8)))
