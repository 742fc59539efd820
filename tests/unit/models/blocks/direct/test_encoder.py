"""How the two views' features become a volume."""

from __future__ import annotations

import pytest
import torch

from models.blocks.direct.encoder import LiftedViews, ViewEncoder, encoded


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_a_feature_stands_for_sixteen_pixels(norm):
    encoder = ViewEncoder(4, norm)
    assert encoder(torch.rand(2, 1, 64, 48)).shape == (2, 32, 4, 3)
    assert encoder.channels == 32


def test_both_views_pass_the_same_encoder():
    encoder = ViewEncoder(4, "group")
    xrays = torch.rand(3, 2, 32, 32)
    found = encoded(encoder, xrays)
    torch.testing.assert_close(found[:, 1], encoder(xrays[:, 1:]), rtol=1e-4, atol=1e-5)


def lifted(lift, features):
    """With weights by which every feature becomes its own 8 · depth channels alike."""
    views = LiftedViews(2, 6, lift, "group")
    views.fuse = torch.nn.Identity()
    views.deepen = torch.nn.Conv2d(2, 8 * 6, 1, bias=False)
    torch.nn.init.ones_(views.deepen.weight)
    with torch.no_grad():
        return views(features)


def test_with_rays_a_view_is_spread_along_the_axis_that_it_does_not_show():
    front, side = torch.zeros(1, 2, 2, 4, 6), torch.zeros(1, 2, 2, 4, 6)
    front[:, 0, :, 1, 2] = 1  # slice 1, third from the patient's right
    side[:, 1, :, 1, 5] = 1  # slice 1, at the back
    of_front, of_side = lifted("rays", front), lifted("rays", side)
    assert of_front.shape == (1, 8, 4, 6, 6)  # head to feet, front to back, right to left
    assert (of_front[0, 0, 1, :, 2] > 0).all()
    assert torch.count_nonzero(of_front[0, 0]) == 6
    assert (of_side[0, 0, 1, 5, :] > 0).all()
    assert torch.count_nonzero(of_side[0, 0]) == 6


def test_averaged_views_stand_as_the_front_view_has_it():
    features = torch.zeros(1, 2, 2, 4, 6)
    features[:, :, :, 1, 2] = 1
    found = lifted("mean", features)
    assert (found[0, 0, 1, :, 2] > 0).all()
    assert torch.count_nonzero(found[0, 0]) == 6
