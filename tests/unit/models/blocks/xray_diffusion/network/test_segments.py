import pytest
import torch

from models.blocks.xray_diffusion.network.segments import cut
from protocol.errors import SettingsError
from tests.small_diffx2ct import small_inputs, small_model

DEVICES = {  # of each part of a net of four levels, by the number of stages
    3: {"encoder": 0, "entry": 0, "down": [0, 1, 1, 2], "middle": 2, "up": [0, 1, 1, 2], "exit": 0},
    2: {"encoder": 0, "entry": 0, "down": [0, 0, 1, 1], "middle": 1, "up": [0, 0, 1, 1], "exit": 0},
    4: {"encoder": 0, "entry": 0, "down": [0, 1, 2, 3], "middle": 3, "up": [0, 1, 2, 3], "exit": 0},
    1: {"encoder": 0, "entry": 0, "down": [0, 0, 0, 0], "middle": 0, "up": [0, 0, 0, 0], "exit": 0},
}


class Shelf:
    """What segments of one device leave for each other; strict about names and turns."""

    def __init__(self):
        self.left = {}

    def put(self, name, value):
        assert name not in self.left
        self.left[name] = value

    def take(self, name):
        return self.left.pop(name)


def run_chain(segments, inputs):
    """The chain's output, and what travelled from each segment to the next."""
    stages = len(segments) // 2
    shelves = [Shelf() for _ in range(stages)]
    carry, travelled = tuple(inputs), []
    for number, segment in enumerate(segments):
        carry = segment(carry, shelves[min(number, 2 * stages - 1 - number)])
        travelled.append(carry)
    assert not any(shelf.left for shelf in shelves)
    return carry, travelled


@pytest.mark.parametrize("stages", [1, 2, 3, 4])
def test_the_chain_of_segments_is_the_model_bit_for_bit_and_so_are_its_gradients(stages):
    model, inputs = small_model(), small_inputs()
    whole = model(*inputs)
    whole.square().mean().backward()
    expected = {name: weight.grad.clone() for name, weight in model.named_parameters()}
    model.zero_grad()
    (output,), _ = run_chain(cut(model, stages), inputs)
    assert torch.equal(output, whole)
    output.square().mean().backward()
    for name, weight in model.named_parameters():
        assert torch.equal(weight.grad, expected[name]), name


@pytest.mark.parametrize("stages", DEVICES)
def test_parts_lie_on_the_published_devices(stages):
    model = small_model()
    owner = {}
    for number, segment in enumerate(cut(model, stages)):
        for weight in segment.parameters():
            owner.setdefault(weight, set()).add(min(number, 2 * stages - 1 - number))

    def device(part):
        (found,) = {place for weight in part.parameters() for place in owner[weight]}
        return found

    for name, expected in DEVICES[stages].items():
        part = getattr(model, name)
        found = [device(level) for level in part] if isinstance(expected, list) else device(part)
        assert found == expected, name


@pytest.mark.parametrize("stages", [1, 2, 3, 4])
def test_every_tensor_of_the_model_is_in_a_segment_and_on_one_device(stages):
    model = small_model()
    segments = cut(model, stages)
    folded = [
        {id(tensor) for segment in pair for tensor in segment.state_dict(keep_vars=True).values()}
        for pair in zip(segments[:stages], reversed(segments[stages:]), strict=True)
    ]
    own = [id(tensor) for tensor in model.state_dict(keep_vars=True).values()]
    assert sorted(tensor for pair in folded for tensor in pair) == sorted(own)


def test_going_up_features_travel_alone():
    _, travelled = run_chain(cut(small_model(), 3), small_inputs())
    assert [len(carry) for carry in travelled] == [3, 3, 1, 1, 1, 1]


def test_recomputed_activations_pass_through_segments_too():
    model, inputs = small_model(checkpointed=True), small_inputs()
    plain = small_model()
    plain.load_state_dict(model.state_dict())
    plain(*inputs).square().mean().backward()
    (output,), _ = run_chain(cut(model, 3), inputs)
    output.square().mean().backward()
    for weight, other in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(weight.grad, other.grad, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("stages", [0, 5])
def test_more_stages_than_levels_are_refused(stages):
    with pytest.raises(SettingsError, match=rf"parallel\.stages: found {stages}, expected 1 to 4"):
        cut(small_model(), stages)
