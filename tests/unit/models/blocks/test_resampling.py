"""Deterministic gradients of linear interpolation and averaging equal torch's own."""

import pytest
import torch
import torch.nn.functional as F

from models.blocks.resampling import BilinearDoubling, averaged, interpolated

MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}


@pytest.fixture
def deterministic():
    torch.set_deterministic_debug_mode("error")
    yield
    torch.set_deterministic_debug_mode("default")


def both(function, peer, shape, dtype=torch.float64):
    """Values and gradients of two functions of the same numbers."""
    generator = torch.Generator().manual_seed(0)
    given = torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
    answers = []
    for each in (function, peer):
        values = given.clone().requires_grad_()
        result = each(values)
        upstream = torch.linspace(-1, 2, result.numel(), dtype=result.dtype).view_as(result)
        result.backward(upstream)
        answers += [result.detach(), values.grad]
    return answers


SIZES = [
    ((7,), (14,)),
    ((5, 8), (10, 16)),
    ((9, 4), (4, 9)),
    ((1, 3), (6, 2)),
    ((4, 3, 5), (8, 8, 8)),
    ((6, 5, 4), (3, 5, 16)),
    ((10, 1, 7), (3, 1, 7)),
]


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(("old", "new"), SIZES)
def test_interpolation_has_torchs_values_and_gradients(deterministic, old, new, align_corners):
    values, gradient, torchs, torchs_gradient = both(
        lambda x: interpolated(x, new, align_corners=align_corners),
        lambda x: F.interpolate(x, size=new, mode=MODES[len(new)], align_corners=align_corners),
        (2, 3, *old),
    )
    assert torch.equal(values, torchs)
    torch.testing.assert_close(gradient, torchs_gradient, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("factors", [(2, 2, 2), (1, 4, 3)])
def test_averaging_has_torchs_values_and_gradients(deterministic, factors):
    shape = (2, 3, *(2 * factor for factor in factors))
    values, gradient, torchs, torchs_gradient = both(
        lambda x: averaged(x, factors), lambda x: F.avg_pool3d(x, factors), shape
    )
    assert torch.equal(values, torchs)
    torch.testing.assert_close(gradient, torchs_gradient, rtol=1e-15, atol=0.0)


def test_gradients_are_within_a_few_roundings_in_single_precision(deterministic):
    _, gradient, _, torchs = both(
        BilinearDoubling(),
        torch.nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
        (2, 4, 33, 20),
        torch.float32,
    )
    torch.testing.assert_close(gradient, torchs, rtol=1e-5, atol=2e-6)


def test_without_determinism_both_are_torchs_own():
    image, volume = torch.randn(1, 1, 4, 4), torch.randn(1, 1, 4, 4, 4)
    for result, name in (
        (interpolated(image.requires_grad_(), (8, 8)), "UpsampleBilinear2DBackward0"),
        (averaged(volume.requires_grad_(), (2, 2, 2)), "AvgPool3DBackward0"),
    ):
        assert type(result.grad_fn).__name__ == name


def test_gradients_have_the_type_of_what_they_are_of(deterministic):
    image = torch.randn(1, 1, 4, 4, dtype=torch.bfloat16, requires_grad=True)
    volume = torch.randn(1, 1, 4, 4, 4, dtype=torch.bfloat16, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        interpolated(image, (8, 8)).float().sum().backward()
        averaged(volume, (2, 2, 2)).float().sum().backward()
    assert image.grad.dtype == volume.grad.dtype == torch.bfloat16


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_finds_the_same_gradients_each_time_and_refuses_none(deterministic):
    volume = torch.randn(2, 8, 24, 24, 24, device="cuda")
    found = []
    for _ in range(3):
        values = volume.clone().requires_grad_()
        (
            interpolated(values, (48, 48, 48)).sin().sum() + averaged(values, (2, 2, 2)).sum()
        ).backward()
        found.append(values.grad)
    assert all(torch.equal(found[0], other) for other in found[1:])
