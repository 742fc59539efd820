import pytest
import torch

from models.blocks.xray_diffusion.network.encoder import XrayEncoder
from models.blocks.xray_diffusion.network.model import XrayDiffusion
from tests.small_diffx2ct import small_inputs, small_model

# As published, in millions, with projections of 3·(C² + C) weights in each attention block that
# nothing passes through: ours has none.
PUBLISHED = {32: 34.33, 48: 71.72, 64: 123.75}


def weights(module):
    return sum(weight.numel() for weight in module.parameters())


def gradients(model, inputs):
    model.zero_grad()
    model(*inputs).square().mean().backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters()}


@pytest.mark.parametrize("width", PUBLISHED)
def test_it_has_the_published_weights_but_for_those_that_never_act(width):
    channels = [width * 2**level for level in range(4)]
    with torch.device("meta"):
        model = XrayDiffusion(XrayEncoder("small", 256), channels=channels)
    # Two blocks attend on levels 1 to 3 going down, one in the middle; going up, a level gives
    # the channels of the level above it.
    attending = [*2 * channels[1:], channels[3], *2 * channels[:3]]
    idle = sum(3 * (count**2 + count) for count in attending)
    found = weights(model) - weights(model.encoder)
    assert (found + idle) / 1e6 == pytest.approx(PUBLISHED[width], abs=0.006)


def test_recomputed_activations_give_the_same_noise_and_the_same_gradients():
    kept, recomputed = small_model(levels=2), small_model(levels=2, checkpointed=True)
    recomputed.load_state_dict(kept.state_dict())
    inputs = small_inputs(8)
    assert torch.equal(kept(*inputs), recomputed(*inputs))
    expected, found = gradients(kept, inputs), gradients(recomputed, inputs)
    assert expected.keys() == found.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-5, atol=1e-8)


def test_recomputing_keeps_fewer_bytes_for_the_backward_pass():
    inputs, sizes = small_inputs(16), {}
    for checkpointed in (False, True):
        kept: dict[int, int] = {}

        def keep(tensor, kept=kept):
            kept[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            small_model(levels=2, checkpointed=checkpointed)(*inputs)
        sizes[checkpointed] = sum(kept.values())
    assert sizes[True] < 0.5 * sizes[False]


def test_a_sample_does_not_depend_on_its_neighbours():
    model, inputs = small_model(levels=3), small_inputs(8)
    together = model(*inputs)
    for number in range(2):
        alone = model(*(part[number : number + 1] for part in inputs))
        torch.testing.assert_close(alone, together[number : number + 1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("changed", range(5), ids=["patch", "time", "xrays", "corner", "extent"])
def test_each_input_matters(changed):
    model, inputs = small_model(levels=2), list(small_inputs(8))
    before = model(*inputs)
    inputs[changed] = inputs[changed].flip(0)
    if changed == 4:
        inputs[changed] = inputs[changed] + 9
    assert (model(*inputs) - before).abs().max() > 1e-4


def test_a_new_model_says_that_there_is_no_noise():
    model = XrayDiffusion(XrayEncoder("small", 16), channels=[8, 16], attention_levels=[1])
    assert not model(*small_inputs(8)).any()
