import pytest
import torch
import torch.nn.functional as F
from torch import nn

from models.blocks.diffusion.residual import ResidualBlock, group_norm


@pytest.mark.parametrize(
    ("channels", "groups"), [(128, 32), (256, 32), (16, 16), (48, 16), (20, 4), (7, 1)]
)
def test_groups_of_the_norm_divide_the_channels(channels, groups):
    norm = group_norm(channels)
    assert (norm.num_groups, norm.num_channels) == (groups, channels)


def test_a_new_block_is_the_identity():
    features = torch.randn(2, 8, 6, 6)
    torch.testing.assert_close(ResidualBlock(8, 8, 4)(features, torch.randn(2, 4)), features)


@pytest.mark.parametrize(
    ("resample", "expected"),
    [
        ("down", lambda image: F.avg_pool2d(image, 2)),
        ("up", lambda image: image.repeat_interleave(2, 2).repeat_interleave(2, 3)),
    ],
)
def test_a_new_resampling_block_only_resamples(resample, expected):
    features = torch.randn(2, 8, 6, 6)
    block = ResidualBlock(8, 8, 4, resample=resample)
    torch.testing.assert_close(block(features, torch.randn(2, 4)), expected(features))


def test_the_embedding_scales_and_shifts_what_is_normalised():
    torch.manual_seed(0)
    block = ResidualBlock(4, 4, 2)
    nn.init.dirac_(block.conv2.weight)
    features, embedding = torch.randn(1, 4, 5, 5), torch.randn(1, 2)
    scale, shift = (F.silu(embedding) @ block.modulation.weight.T + block.modulation.bias).split(
        4, dim=1
    )
    normal = block.norm2(block.conv1(F.silu(block.norm1(features))))
    expected = F.silu(normal * (1 + scale[..., None, None]) + shift[..., None, None])
    torch.testing.assert_close(block(features, embedding), features + expected)


def test_dropout_acts_in_training_alone():
    torch.manual_seed(0)
    block = ResidualBlock(4, 4, 2, dropout=0.5)
    nn.init.dirac_(block.conv2.weight)
    features, embedding = torch.randn(1, 4, 9, 9), torch.zeros(1, 2)
    assert not torch.equal(block(features, embedding), block(features, embedding))
    block.eval()
    assert torch.equal(block(features, embedding), block(features, embedding))
