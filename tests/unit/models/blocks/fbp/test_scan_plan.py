import math
from dataclasses import replace

import numpy as np
import pytest

from data.geometry import ParallelGeometry
from models.blocks.fbp.scan_plan import has_quarter_symmetry, scan_plan
from protocol.errors import SettingsError

LODOPAB = ParallelGeometry.lodopab(angles=12, detectors=17, image_size=11)


def test_only_half_offset_angles_over_half_a_turn_in_a_multiple_of_four_are_symmetric():
    assert has_quarter_symmetry(LODOPAB)
    assert not has_quarter_symmetry(ParallelGeometry.lodopab(angles=10))
    assert not has_quarter_symmetry(replace(LODOPAB, first_angle=0.0))
    assert not has_quarter_symmetry(replace(LODOPAB, angle_step=math.pi / 13))


def test_positions_are_the_detector_coordinates_of_the_pixel_centres():
    plan = scan_plan(LODOPAB)
    pixel = (np.arange(11) + 0.5) * LODOPAB.pixel_width - LODOPAB.image_half_width
    for angle in range(plan.base_angles):
        phi = LODOPAB.angle_values[angle]
        for i, j in ((0, 0), (3, 7), (10, 2)):
            s = pixel[i] * math.cos(phi) + pixel[j] * math.sin(phi)
            cell = (s + LODOPAB.detector_half_width) / LODOPAB.cell_width - 0.5
            found = plan.origin[angle] + i * plan.row_step[angle] + j * plan.column_step[angle]
            assert found == pytest.approx(cell + 1)  # one empty cell before the detector


def test_symmetry_leaves_a_quarter_of_the_angles_padded_to_eights():
    plan = scan_plan(LODOPAB)
    assert (plan.groups, plan.base_angles, len(plan.origin)) == (4, 3, 8)
    plan = scan_plan(LODOPAB, use_symmetry=False)
    assert (plan.groups, plan.base_angles, len(plan.origin)) == (1, 12, 16)


@pytest.mark.parametrize(
    "wrong", [{"angles": 0}, {"detectors": 0}, {"image_half_width": 0.0}, {"image_size": -1}]
)
def test_an_empty_geometry_is_refused_with_what_was_found(wrong):
    with pytest.raises(SettingsError, match="must be positive, found"):
        scan_plan(replace(LODOPAB, **wrong))
