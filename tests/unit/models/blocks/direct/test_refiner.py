"""The network of refine256: where it starts, how it doubles, what it costs."""

from __future__ import annotations

import pytest
import torch

from models.blocks.direct.refiner import Refiner, SubpixelDoubling, shuffled, trilinear


def refiner(*, width=4, blocks=1, scale=1.0, checkpointing=False, kind="plain"):
    torch.manual_seed(0)
    return Refiner(
        width=width, blocks=blocks, residual_scale=scale, checkpointing=checkpointing, kind=kind
    )


def step(model, coarse, target):
    model.zero_grad()
    loss = (model(coarse) - target).abs().mean()
    loss.backward()
    with torch.no_grad():
        for weight in model.parameters():
            weight -= 0.1 * weight.grad
    return loss.item()


@pytest.mark.parametrize("width", [1, 4, 6])
def test_the_untrained_network_is_exactly_the_trilinear_baseline(width):
    coarse = torch.rand(2, 1, 3, 4, 5)
    found = refiner(width=width)(coarse)
    assert found.shape == (2, 1, 12, 16, 20)
    assert torch.equal(found, trilinear(coarse))


def test_all_of_it_learns_after_the_first_step():
    model = refiner()
    coarse, target = torch.rand(1, 1, 4, 4, 4), torch.rand(1, 1, 16, 16, 16)
    losses = [step(model, coarse, target) for _ in range(6)]
    assert losses[-1] < losses[0]
    assert all(weight.grad.abs().max() > 0 for weight in model.parameters())


def test_the_shuffle_is_monais_pixel_shuffle():
    from monai.networks.utils import pixelshuffle

    volume = torch.rand(2, 24, 3, 4, 5)
    assert torch.equal(shuffled(volume), pixelshuffle(volume, spatial_dims=3, scale_factor=2))


def test_a_new_doubling_gives_all_fine_voxels_of_a_coarse_one_the_same_value():
    doubled = SubpixelDoubling(3, 2)(torch.rand(1, 3, 4, 4, 4))
    assert doubled.shape == (1, 2, 8, 8, 8)
    blocks = doubled.unfold(2, 2, 2).unfold(3, 2, 2).unfold(4, 2, 2).flatten(5)
    torch.testing.assert_close(blocks, blocks[..., :1].expand_as(blocks))
    assert doubled.std() > 0


def test_features_computed_twice_give_the_same_gradients():
    coarse, target = torch.rand(1, 1, 4, 4, 4), torch.rand(1, 1, 16, 16, 16)
    found = []
    for checkpointing in (False, True):
        model = refiner(blocks=2, checkpointing=checkpointing)
        step(model, coarse, target)
        step(model, coarse, target)
        found.append([weight.grad for weight in model.parameters()])
    for kept, computed in zip(*found, strict=True):
        torch.testing.assert_close(computed, kept)


def test_features_computed_twice_are_not_kept():
    saved = {}
    for checkpointing in (False, True):
        model, numbers = refiner(blocks=3, checkpointing=checkpointing), []

        def note(tensor, numbers=numbers):
            numbers.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            model(torch.rand(1, 1, 4, 4, 4))
        saved[checkpointing] = sum(numbers)
    assert saved[True] < 0.6 * saved[False]


def test_dense_blocks_start_at_the_baseline_too_and_all_of_them_learn():
    model = refiner(scale=0.2, kind="dense")
    coarse, target = torch.rand(1, 1, 4, 4, 4), torch.rand(1, 1, 16, 16, 16)
    assert torch.equal(model(coarse), trilinear(coarse))
    losses = [step(model, coarse, target) for _ in range(4)]
    assert losses[-1] < losses[0]
    assert all(weight.grad.abs().max() > 0 for weight in model.parameters())


@pytest.mark.parametrize(
    ("options", "weights"),
    [
        ({"width": 64, "blocks": 2, "kind": "dense"}, 6_218_513),
        ({"width": 32, "blocks": 2}, 284_921),
    ],
)
def test_the_sizes_that_its_description_names_are_those(options, weights):
    with torch.device("meta"):
        model = refiner(**options)
    assert sum(weight.numel() for weight in model.parameters()) == weights
