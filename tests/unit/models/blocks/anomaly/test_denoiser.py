import torch
from torch import nn

from models.blocks.anomaly.denoiser import GuidedDenoiser
from models.blocks.diffusion.unet import DiffusionUNet


def _unet(condition):
    torch.manual_seed(0)
    unet = DiffusionUNet(width=8, multipliers=(1, 2), blocks=1, condition=condition)
    nn.init.normal_(unet.conv_out.weight)
    for stage in (*unet.down, *unet.middle, *unet.up):
        nn.init.normal_(stage.block.conv2.weight, std=0.1)
    return unet


class Mean(nn.Module):
    """An encoder whose one feature is the image's mean."""

    def forward(self, image):
        return image.mean(dim=(1, 2, 3))[:, None]


def test_the_encoder_sums_up_the_clean_slice_for_the_net():
    unet = _unet(condition=1)
    noisy, time, image = torch.randn(2, 1, 8, 8), torch.tensor([3, 600]), torch.rand(2, 1, 8, 8)
    result = GuidedDenoiser(unet, Mean())(noisy, time, image)
    expected = unet(noisy, time, image.mean(dim=(1, 2, 3))[:, None])
    torch.testing.assert_close(result, expected)
    other = GuidedDenoiser(unet, Mean())(noisy, time, image + 1)
    assert (other - result).abs().max() > 1e-3


def test_without_an_encoder_the_clean_slice_does_not_matter():
    model = GuidedDenoiser(_unet(condition=None), None)
    noisy, time = torch.randn(2, 1, 8, 8), torch.tensor([3, 600])
    assert torch.equal(
        model(noisy, time, torch.zeros(2, 1, 8, 8)), model(noisy, time, torch.ones(2, 1, 8, 8))
    )
