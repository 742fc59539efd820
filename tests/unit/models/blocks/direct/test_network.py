"""The network of direct64: sizes, weights, and where what is seen in the views ends up."""

from __future__ import annotations

import pytest
import torch

from models.blocks.direct.network import DirectNetwork


def network(size=8, *, width=4, volume_width=4, lift="rays", norm="group", scale=1.0):
    torch.manual_seed(0)
    return DirectNetwork(
        size=size,
        width=width,
        volume_width=volume_width,
        lift=lift,
        norm=norm,
        residual_scale=scale,
    )


def weights(model):
    return sum(weight.numel() for weight in model.parameters())


def test_the_published_width_has_6_99_million_weights_and_a_wider_one_16_8():
    with torch.device("meta"):
        published = network(64, width=64, volume_width=32)
        wide = network(64, width=104, volume_width=48)
    assert round(weights(published) / 1e6, 2) == 6.99
    assert round(weights(wide) / 1e6, 1) == 16.8


def test_how_views_are_lifted_changes_no_number_of_weights():
    assert weights(network(lift="mean")) == weights(network(lift="rays"))


@pytest.mark.parametrize("size", [8, 12, 16])
@pytest.mark.parametrize("lift", ["mean", "rays"])
def test_every_scale_is_half_of_the_next(size, lift):
    with torch.no_grad():
        found = network(size, lift=lift)(torch.rand(2, 2, 32, 48))
    edges = [tuple(volume.shape) for volume in found]
    assert edges == [(2, 1, *[size // factor] * 3) for factor in (4, 2, 1)]


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_a_single_sample_of_the_smallest_size_can_be_trained_on(norm):
    model = network(8, norm=norm).train()
    total = sum(volume.square().sum() for volume in model(torch.rand(1, 2, 32, 32)))
    total.backward()
    assert all(torch.isfinite(weight.grad).all() for weight in model.parameters())


def test_with_group_normalisation_a_sample_is_not_changed_by_its_neighbours():
    model = network().train()
    xrays = torch.rand(3, 2, 32, 32)
    with torch.no_grad():
        together, alone = model(xrays)[-1], model(xrays[1:2])[-1]
    torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-5)


def test_finer_scales_begin_with_what_the_coarsest_has_found():
    coarsest, _, result = network(16)(torch.rand(1, 2, 32, 32))
    pooled = torch.nn.functional.avg_pool3d(result, 4)
    assert coarsest.std() > 1e-3
    assert torch.corrcoef(torch.stack([pooled.flatten(), coarsest.flatten()]))[0, 1] > 0.8


def test_views_averaged_cannot_be_told_apart_but_lifted_along_their_rays_they_can():
    xrays = torch.rand(1, 2, 32, 32)
    with torch.no_grad():
        for lift, same in (("mean", True), ("rays", False)):
            model = network(lift=lift)
            given, exchanged = model(xrays)[-1], model(xrays.flip(1))[-1]
            assert torch.allclose(given, exchanged, atol=1e-5) == same
