import pytest
import torch
from torch import nn

from models.blocks.anomaly.encoder import BatchNorm, make_encoder


def _parameters(module):
    return sum(weight.numel() for weight in module.parameters())


def test_the_published_encoder_is_a_resnet50_of_grey_images_with_512_features():
    with torch.device("meta"):
        encoder = make_encoder("resnet50", 512)
        backbone = 23_508_032 - 2 * 64 * 49  # of ResNet50, its first layer for one channel
        assert _parameters(encoder) == backbone + 2048 * 512 + 512 == 24_550_848
        assert encoder(torch.rand(2, 1, 96, 96)).shape == (2, 512)


@pytest.mark.parametrize("kind", ["resnet18", "small"])
@pytest.mark.parametrize("norm", ["batch", "group"])
def test_it_makes_a_vector_of_a_slice(kind, norm):
    encoder = make_encoder(kind, 7, norm=norm)
    vectors = encoder(torch.rand(3, 1, 32, 40))
    assert vectors.shape == (3, 7)
    assert (vectors[0] - vectors[1]).abs().max() > 0


def test_there_may_be_none():
    assert make_encoder("none", 512) is None


@pytest.mark.parametrize(("kind", "norm"), [("resnet18", "group"), ("small", "batch")])
def test_with_group_norm_a_vector_is_of_its_own_slice_alone(kind, norm):
    encoder = make_encoder(kind, 5, norm=norm)
    slices = torch.rand(4, 1, 32, 32)
    torch.testing.assert_close(encoder(slices[:1]), encoder(slices)[:1], atol=1e-5, rtol=1e-4)


def test_with_batch_norm_it_is_only_in_evaluation():
    encoder = make_encoder("resnet18", 5)
    slices = torch.rand(4, 1, 64, 64)
    with torch.no_grad():
        assert (encoder(slices[:2])[0] - encoder(slices)[0]).abs().max() > 1e-3
        encoder.eval()
        torch.testing.assert_close(encoder(slices[:2]), encoder(slices)[:2], atol=1e-4, rtol=1e-3)


def test_a_single_small_slice_can_be_trained_on():
    encoder = make_encoder("resnet18", 5)
    vector = encoder(torch.rand(1, 1, 32, 32))
    vector.sum().backward()
    assert torch.isfinite(vector).all()


def test_batch_norm_is_torch_s_wherever_a_channel_has_two_values():
    ours, theirs = BatchNorm(3), nn.BatchNorm2d(3)
    for features in (torch.rand(2, 3, 1, 1), torch.rand(1, 3, 1, 2)):
        torch.testing.assert_close(ours(features), theirs(features))
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    torch.testing.assert_close(ours.running_var, theirs.running_var)
    lone = torch.rand(1, 3, 1, 1)
    torch.testing.assert_close(ours(lone), theirs.eval()(lone))
