import pytest
import torch
from torch import nn

from models.blocks.diffusion.attention import SelfAttention, heads_for


@pytest.mark.parametrize(
    ("channels", "heads"), [(256, 4), (128, 2), (64, 1), (16, 1), (96, 1), (224, 2)]
)
def test_heads_have_at_least_64_channels_and_share_them_evenly(channels, heads):
    assert heads_for(channels) == heads


def test_a_new_one_is_the_identity():
    features = torch.randn(2, 64, 3, 5)
    torch.testing.assert_close(SelfAttention(64)(features), features)


def test_it_is_torch_s_multi_head_attention_over_pixels():
    torch.manual_seed(0)
    ours = SelfAttention(128)
    nn.init.normal_(ours.project_out.weight, std=0.1)
    theirs = nn.MultiheadAttention(128, 2, batch_first=True)
    theirs.in_proj_weight.data.copy_(ours.project_in.weight[:, :, 0, 0])
    theirs.in_proj_bias.data.copy_(ours.project_in.bias)
    theirs.out_proj.weight.data.copy_(ours.project_out.weight[:, :, 0, 0])
    theirs.out_proj.bias.data.copy_(ours.project_out.bias)
    features = torch.randn(2, 128, 4, 6)
    pixels = ours.norm(features).flatten(2).transpose(1, 2)
    found, _ = theirs(pixels, pixels, pixels)
    expected = features + found.transpose(1, 2).reshape(features.shape)
    torch.testing.assert_close(ours(features), expected, atol=1e-5, rtol=1e-5)
