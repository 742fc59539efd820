import pytest
import torch
from torchvision import models as zoo
from torchvision.ops.misc import FrozenBatchNorm2d

from models.blocks.encoder_weights import load_encoder, match_tensors
from models.blocks.xray_diffusion.network.encoder import XrayEncoder

KINDS = ["resnet18", "convnext_tiny", "efficientnet_v2_s"]


@pytest.fixture(scope="module", params=KINDS)
def encoder(request):
    torch.manual_seed(0)
    return XrayEncoder(request.param, 16)


def test_both_views_become_tokens_of_a_32nd_of_their_size(encoder):
    found = encoder(torch.rand(1, 2, 64, 96))
    assert found.shape == (1, 2 * 2 * 3, 16)
    assert torch.isfinite(found).all()


def test_training_leaves_a_sample_alone_whatever_shares_its_batch(encoder):
    encoder.train()
    xrays = torch.rand(2, 2, 64, 64)
    together = encoder(xrays)
    torch.testing.assert_close(encoder(xrays[:1]), together[:1], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(encoder(xrays), together)  # nothing is dropped at random
    assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in encoder.modules())


def test_every_weight_gets_a_gradient(encoder):
    encoder.zero_grad()
    encoder(torch.rand(1, 2, 64, 64)).square().sum().backward()
    assert [name for name, weight in encoder.named_parameters() if weight.grad is None] == []


def test_the_same_image_in_either_view_gives_other_tokens():
    encoder = XrayEncoder("small", 16)
    image = torch.rand(1, 1, 16, 16)
    front, side = encoder(image.expand(-1, 2, -1, -1)).chunk(2, dim=1)
    assert (front - side).abs().max() > 1e-3


@pytest.mark.parametrize("norm", ["group", "frozen"])
@pytest.mark.parametrize("kind", KINDS)
def test_torchvisions_weights_fit_under_their_own_names(kind, norm):
    with torch.device("meta"):
        colour, encoder = getattr(zoo, kind)(weights=None), XrayEncoder(kind, 16, norm)
    match = match_tensors(colour.state_dict(), encoder.backbone.state_dict())
    assert match.missing == []
    assert match.other_shape == []


def test_with_torchvisions_weights_a_grey_image_is_seen_as_three_equal_colours(tmp_path):
    torch.manual_seed(1)
    colour, encoder = zoo.resnet18(weights=None).eval(), XrayEncoder("resnet18", 16, "frozen")
    colour.bn1.running_mean.uniform_()
    torch.save(colour.state_dict(), tmp_path / "weights.pth")
    load_encoder(encoder.backbone, tmp_path / "weights.pth")
    grey = torch.rand(1, 1, 64, 64)
    body = torch.nn.Sequential(*list(colour.children())[:-2])
    expected = body(grey.expand(-1, 3, -1, -1))
    torch.testing.assert_close(encoder.backbone(grey), expected, rtol=1e-3, atol=1e-4)


def test_frozen_statistics_neither_train_nor_change():
    encoder = XrayEncoder("resnet18", 16, "frozen").train()
    before = {name: value.clone() for name, value in encoder.named_buffers()}
    assert any(isinstance(layer, FrozenBatchNorm2d) for layer in encoder.modules())
    encoder(torch.rand(1, 2, 64, 64)).sum().backward()
    assert before.keys() == dict(encoder.named_buffers()).keys()
    assert all(torch.equal(before[name], value) for name, value in encoder.named_buffers())


def test_a_new_grey_stem_varies_as_much_as_the_colour_one_did():
    torch.manual_seed(0)
    colour, grey = zoo.resnet18(weights=None).conv1, XrayEncoder("resnet18", 16).backbone.conv1
    images = torch.randn(4, 3, 64, 64)
    with torch.no_grad():
        spreads = float(grey(images[:, :1]).std()), float(colour(images).std())
    assert spreads[0] == pytest.approx(spreads[1], rel=0.15)
