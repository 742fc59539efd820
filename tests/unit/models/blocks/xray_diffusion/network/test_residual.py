import pytest
import torch

from models.blocks.xray_diffusion.network.residual import ResidualBlock3d, norm_in_groups


def test_the_embedding_scales_and_shifts_each_channel():
    torch.manual_seed(0)
    block = ResidualBlock3d(4, 8, 6)
    features = torch.randn(2, 4, 3, 3, 3)
    one, other = block(features, torch.zeros(2, 6)), block(features, torch.ones(2, 6))
    assert one.shape == (2, 8, 3, 3, 3)
    assert not torch.allclose(one, other, atol=1e-3)


def test_equal_channels_have_a_shortcut_without_weights():
    assert not list(ResidualBlock3d(8, 8, 6).shortcut.parameters())
    assert list(ResidualBlock3d(4, 8, 6).shortcut.parameters())


@pytest.mark.parametrize(
    ("channels", "groups"), [(256, 8), (16, 8), (8, 4), (12, 2), (2, 1), (1, 1)]
)
def test_groups_have_two_channels_at_least(channels, groups):
    assert norm_in_groups(8, channels).num_groups == groups
