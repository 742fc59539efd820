"""The form that is exported computes what the operators compute."""

import numpy as np
import pytest
import torch

from data.geometry import ParallelGeometry
from models.blocks.fbp.fbp import filtered_backprojection
from models.blocks.fbp.ramp import frequency_bins
from models.blocks.fbp.traced import traced_backprojection

LODOPAB = ParallelGeometry.lodopab(angles=24, image_size=17)
FEW = ParallelGeometry.lodopab(angles=10, image_size=12)  # without the quarter symmetry
PART = ParallelGeometry(angles=9, detectors=20, image_size=11, first_angle=0.3, angle_step=0.1)


@pytest.mark.parametrize("geometry", [LODOPAB, FEW, PART])
@pytest.mark.parametrize("of_each_angle", [False, True])
def test_it_equals_the_operator(geometry, of_each_angle):
    torch.manual_seed(0)
    sinogram = torch.rand(3, 1, geometry.angles, geometry.detectors)
    bins = frequency_bins(geometry.detectors)
    window = torch.rand((geometry.angles, bins) if of_each_angle else (bins,))
    step = min(abs(geometry.angle_step), np.pi / geometry.angles)
    expected = filtered_backprojection(sinogram, geometry, window)
    found = traced_backprojection(sinogram, geometry, window * step)
    assert found.shape == expected.shape
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-6


def test_tracing_leaves_nothing_behind_that_others_would_meet():
    """What is kept for the process must not be made of a tracer's tensors."""

    class Operator(torch.nn.Module):
        def forward(self, sinogram):
            return filtered_backprojection(sinogram, fresh, window)

    fresh = ParallelGeometry.lodopab(angles=28, image_size=15)  # of no other test
    window = torch.ones(frequency_bins(fresh.detectors))
    given = (torch.rand(2, 1, fresh.angles, fresh.detectors),)
    once, again = (torch.export.export(Operator(), given).module()(*given) for _ in range(2))
    assert torch.equal(once, again)
    assert once.std() > 0
