import pytest
import torch
from torch import nn

from models.blocks.diffusion.unet import DiffusionUNet

RESIDUAL = {
    "norm1": "norm1",
    "conv1": "conv1",
    "modulation": "time_emb_proj",
    "norm2": "norm2",
    "conv2": "conv2",
    "shortcut": "conv_shortcut",
}


@pytest.fixture(scope="module")
def peer():
    """An independent implementation of the net without a condition, with random weights."""
    from diffusers import UNet2DModel

    torch.manual_seed(0)
    return UNet2DModel(
        in_channels=1,
        out_channels=1,
        block_out_channels=(32, 128),
        layers_per_block=2,
        down_block_types=("ResnetDownsampleBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "ResnetUpsampleBlock2D"),
        downsample_type="resnet",
        upsample_type="resnet",
        resnet_time_scale_shift="scale_shift",
        attention_head_dim=64,
        attn_norm_num_groups=32,
    ).eval()


@pytest.fixture
def small():
    def make(**changes):
        settings = {"width": 16, "multipliers": (1, 2), "blocks": 1} | changes
        net = DiffusionUNet(**settings)
        for parameter in net.parameters():  # a new net answers 0 to everything
            nn.init.normal_(parameter, std=0.1)
        return net

    torch.manual_seed(0)
    return make


def _copy(source, target):
    target.load_state_dict(source.state_dict())


def _copy_block(source, target):
    for ours, theirs in RESIDUAL.items():
        if not isinstance(getattr(target, ours), nn.Identity):
            _copy(getattr(source, theirs), getattr(target, ours))


def _copy_attention(source, target):
    _copy(source.group_norm, target.norm)
    for name, theirs in (("weight", "weight"), ("bias", "bias")):
        parts = [getattr(layer, theirs) for layer in (source.to_q, source.to_k, source.to_v)]
        joined = torch.cat(parts).reshape(getattr(target.project_in, name).shape)
        getattr(target.project_in, name).data.copy_(joined)
        last = getattr(source.to_out[0], theirs)
        own = getattr(target.project_out, name)
        own.data.copy_(last.reshape(own.shape))


def _blocks_and_attentions(level):
    attentions = getattr(level, "attentions", None) or [None] * len(level.resnets)
    return zip(level.resnets, attentions, strict=True)


def _copy_all(peer, net):
    _copy(peer.conv_in, net.conv_in)
    _copy(peer.time_embedding.linear_1, net.time_embed[0])
    _copy(peer.time_embedding.linear_2, net.time_embed[2])
    down, up = iter(net.down), iter(net.up)
    for level in peer.down_blocks:
        for block, attention in _blocks_and_attentions(level):
            stage = next(down)
            _copy_block(block, stage.block)
            if attention is not None:
                _copy_attention(attention, stage.attention)
        if level.downsamplers:
            _copy_block(level.downsamplers[0], next(down).block)
    middle = peer.mid_block
    for block, stage in zip(middle.resnets, net.middle, strict=True):
        _copy_block(block, stage.block)
    _copy_attention(middle.attentions[0], net.middle[0].attention)
    for level in peer.up_blocks:
        for block, attention in _blocks_and_attentions(level):
            stage = next(up)
            _copy_block(block, stage.block)
            if attention is not None:
                _copy_attention(attention, stage.attention)
        if level.upsamplers:
            _copy_block(level.upsamplers[0], stage.enlarge)
    assert next(down, None) is next(up, None) is None
    _copy(peer.conv_norm_out, net.norm_out)
    _copy(peer.conv_out, net.conv_out)


def test_it_computes_what_an_independent_implementation_computes(peer):
    net = DiffusionUNet(width=32, multipliers=(1, 4), blocks=2, attention_levels=(1,))
    count = sum(weight.numel() for weight in net.parameters())
    assert count == sum(weight.numel() for weight in peer.parameters())
    _copy_all(peer, net)
    image = torch.randn(3, 1, 16, 24)
    timesteps = torch.tensor([0, 17, 999])
    with torch.no_grad():
        expected = peer(image, timesteps).sample
        torch.testing.assert_close(net(image, timesteps), expected, atol=2e-5, rtol=1e-4)


def _parameters(net):
    return sum(weight.numel() for weight in net.parameters())


@pytest.mark.parametrize(
    ("condition", "expected"), [(None, 37_513_857), (512, 44_068_481), (128, 43_871_873)]
)
def test_the_published_net_has_44_million_parameters_with_its_condition(condition, expected):
    with torch.device("meta"):
        assert _parameters(DiffusionUNet(condition=condition)) == expected


def test_the_condition_is_embedded_like_the_time_step_and_doubles_what_the_blocks_get():
    with torch.device("meta"):
        plain, guided = DiffusionUNet(), DiffusionUNet(condition=512)
    embed = 2 * (512 * 512 + 512)
    scales = [2 * 512 * layer.conv1.out_channels for layer in _residual_blocks(plain)]
    assert _parameters(guided) - _parameters(plain) == embed + sum(scales)


def _residual_blocks(net):
    return [module for module in net.modules() if hasattr(module, "modulation")]


def test_attention_is_in_the_middle_alone_unless_asked_for():
    def count(levels):
        with torch.device("meta"):
            net = DiffusionUNet(attention_levels=levels)
        return sum(hasattr(module, "heads") for module in net.modules())

    assert [count(()), count((2,)), count((1, 2))] == [1, 1 + 7, 1 + 14]


@pytest.mark.parametrize("size", [(8, 8), (9, 12), (31, 17), (1, 1)])
def test_images_of_any_size_come_back_in_their_size(small, size):
    net = small(multipliers=(1, 2, 2))
    assert net(torch.rand(2, 1, *size), torch.tensor([1, 2])).shape == (2, 1, *size)


def test_odd_images_are_padded_with_their_last_row_and_column(small):
    net = small(multipliers=(1, 2, 2)).eval()
    image, time = torch.rand(1, 1, 7, 10), torch.tensor([5])
    padded = nn.functional.pad(image, (0, 2, 0, 1), mode="replicate")
    torch.testing.assert_close(net(image, time), net(padded, time)[..., :7, :10])


def test_time_step_and_condition_change_the_answer_of_their_own_sample_alone(small):
    net = small(condition=4).eval()
    image, time, condition = torch.rand(2, 1, 8, 8), torch.tensor([10, 20]), torch.rand(2, 4)
    before = net(image, time, condition)
    later = net(image, torch.tensor([10, 700]), condition)
    other = net(image, time, condition + torch.tensor([[0.0], [1.0]]))
    for after in (later, other):
        torch.testing.assert_close(after[0], before[0])
        assert (after[1] - before[1]).abs().max() > 1e-3


def test_a_net_with_a_condition_asks_for_one(small):
    with pytest.raises(ValueError, match="needs one"):
        small(condition=4)(torch.rand(1, 1, 8, 8), torch.tensor([1]))


def test_every_parameter_takes_part_in_training(small):
    net = small(condition=4, attention_levels=(0, 1))
    net(torch.rand(2, 1, 8, 8), torch.tensor([1, 2]), torch.rand(2, 4)).square().sum().backward()
    assert all(weight.grad is not None for weight in net.parameters())
    assert all(weight.grad.abs().sum() > 0 for weight in net.parameters())


def test_a_new_net_answers_zero():
    net = DiffusionUNet(width=16, multipliers=(1, 2), blocks=1)
    assert not net(torch.rand(1, 1, 8, 8), torch.tensor([3])).any()


def test_it_runs_in_bfloat16(small):
    net = small(condition=4, attention_levels=(1,))
    arguments = torch.rand(2, 1, 8, 8), torch.tensor([1, 900]), torch.rand(2, 4)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = net(*arguments)
    exact = net(*arguments)
    assert mixed.dtype == torch.bfloat16
    assert (mixed - exact).abs().max() < 0.05 * exact.abs().max()
