import pytest
import torch
from torch import nn

from models.blocks.images.unet import pooled_unet, published_unet, small_unet


def parameters(model):
    return sum(weight.numel() for weight in model.parameters())


def every_form():
    yield "small", small_unet()
    yield "full skips", pooled_unet((4, 8, 16))
    yield "few skips", pooled_unet((4, 8, 16), skip=2, norm="batch")
    yield "groups", pooled_unet((6, 12, 24), norm="group")
    yield "pointwise", pooled_unet((4, 8), pointwise_top=True)


@pytest.fixture(params=list(every_form()), ids=lambda form: form[0])
def network(request):
    torch.manual_seed(0)
    network = request.param[1]
    for module in network.modules():  # it was made while the tests were collected, unseeded
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    return network


def test_the_published_network_has_the_published_number_of_parameters():
    with torch.device("meta"):
        assert parameters(published_unet()) == 30_928_129


def test_the_small_network_has_the_published_number_of_parameters():
    assert parameters(small_unet()) == 610_673


@pytest.mark.parametrize("head", ["sigmoid", "linear", "residual"])
def test_the_head_costs_no_parameters(head):
    assert parameters(small_unet(head=head)) == 610_673


@pytest.mark.parametrize(("height", "width"), [(32, 32), (37, 50), (16, 45), (5, 5)])
def test_an_image_of_any_size_keeps_its_size(network, height, width):
    image = torch.rand(2, 1, height, width)
    assert network.train()(image).shape == image.shape
    assert network.eval()(image[:1]).shape == (1, 1, height, width)


def test_one_image_of_a_single_coarse_pixel_can_be_normalised():
    """Five levels leave one pixel of 16: in training a batch of one has no variance there."""
    network = pooled_unet((2, 4, 8, 16, 32), norm="batch").train()
    assert torch.isfinite(network(torch.rand(1, 1, 16, 16))).all()


def test_a_size_that_fits_is_not_padded():
    """Otherwise the border's copies would reach into the result."""
    network = pooled_unet((4, 8, 16)).eval()
    seen = []
    network.down[0].register_forward_pre_hook(lambda _, given: seen.append(given[0].shape))
    network(torch.rand(1, 1, 32, 24))
    network(torch.rand(1, 1, 33, 24))
    assert [tuple(shape) for shape in seen] == [(1, 1, 32, 24), (1, 1, 36, 24)]


def test_every_parameter_is_trained(network):
    image = torch.rand(2, 1, 20, 20)
    (network(image) - torch.rand(2, 1, 20, 20)).square().mean().backward()
    idle = [
        name
        for name, weight in network.named_parameters()
        if weight.grad is None or not weight.grad.any()
    ]
    assert idle == []


def test_a_sigmoid_stays_within_0_and_1_and_a_linear_head_need_not():
    image = 100 * torch.randn(2, 1, 16, 16)
    torch.manual_seed(0)
    squeezed = pooled_unet((4, 8), head="sigmoid")
    torch.manual_seed(0)
    linear = pooled_unet((4, 8), head="linear")
    torch.testing.assert_close(squeezed(image), linear(image).sigmoid())
    assert linear(image).abs().max() > 1


def test_a_residual_network_begins_with_the_image_itself_and_learns():
    image = torch.rand(2, 1, 21, 16)
    network = pooled_unet((4, 8), head="residual")
    assert torch.equal(network(image), image)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        network(image).square().mean().backward()
        optimizer.step()
    assert network(image).square().mean() < 0.9 * image.square().mean()
    assert all(weight.grad.any() for weight in network.parameters())


def test_the_finest_level_reaches_the_result_past_the_coarser_ones():
    """With the coarse path cut, full skips still carry a pixel's detail, and nothing else does."""
    network = pooled_unet((4, 8, 16)).eval()
    for level in network.up:
        nn.init.zeros_(level.upsample.weight)
        nn.init.zeros_(level.upsample.bias)
    image = torch.rand(1, 1, 32, 32)
    changed = image.clone()
    changed[0, 0, 16, 16] += 1
    difference = (network(changed) - network(image)).abs()[0, 0]
    reach = difference.nonzero().sub(16).abs().max()
    assert 0 < reach <= 4  # four 3×3 convolutions
