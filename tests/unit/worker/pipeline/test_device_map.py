import copy

import pytest
import torch

from tests.families.pipelined_toy import PipelinedToy, PipelinedToyData, PipelinedToySettings
from worker.pipeline.device_map import Mapped

FAMILY = PipelinedToy(PipelinedToySettings(dropout=0.5), PipelinedToyData())
INPUTS = (torch.randn(2, 1, 6, 6, 6, generator=torch.Generator().manual_seed(0)), torch.ones(2))


@pytest.fixture
def whole():
    return FAMILY.build_model()


def test_output_and_gradients_are_those_of_the_model_on_one_device(whole):
    mapped = Mapped(FAMILY, copy.deepcopy(whole), ["cpu"] * 3)
    runner = mapped.runner(mapped.model)
    outputs = []
    for module in (whole.eval(), runner.eval()):
        output = module(*INPUTS)
        output.square().mean().backward()
        outputs.append(output)
    assert torch.equal(*outputs)
    for (name, one), (other_name, other) in zip(
        whole.named_parameters(), mapped.named_trained(), strict=True
    ):
        assert name == other_name
        torch.testing.assert_close(one.grad, other.grad)


def test_training_mode_reaches_every_layer(whole):
    runner = Mapped(FAMILY, whole, ["cpu"] * 2).runner(whole)
    assert not torch.equal(runner.train()(*INPUTS), runner(*INPUTS)), "dropout"
    assert torch.equal(runner.eval()(*INPUTS), runner(*INPUTS))


def test_a_copy_of_the_model_runs_by_itself(whole):
    mapped = Mapped(FAMILY, whole, ["cpu"] * 3)
    other = copy.deepcopy(mapped.model)
    torch.nn.init.zeros_(other.head.weight)
    torch.nn.init.zeros_(other.head.bias)
    assert not mapped.runner(other).eval()(*INPUTS).any()
    assert mapped.runner(mapped.model).eval()(*INPUTS).any()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_segments_lie_on_their_devices(whole):
    expected = whole.eval()(*INPUTS)
    mapped = Mapped(FAMILY, whole, ["cuda:0", "cpu", "cuda:0"])
    inputs = tuple(tensor.cuda() for tensor in INPUTS)
    found = mapped.runner(mapped.model).eval()(*inputs)
    assert found.device.type == "cuda"
    assert {item.device.type for item in mapped.model.levels[1].parameters()} == {"cpu"}
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-3, atol=1e-3)
