import copy

import pytest
import torch
from torch import nn

from protocol.errors import SettingsError
from tests.families.pipelined_toy import PipelinedToy, PipelinedToyData, PipelinedToySettings
from tests.families.toy import Toy, ToyData, ToySettings
from worker.pipeline.part import Part, cut


def family(**settings) -> PipelinedToy:
    return PipelinedToy(PipelinedToySettings(**settings), PipelinedToyData())


def parts(model: nn.Module, stages: int, **settings) -> list[Part]:
    segments = cut(family(**settings), model, stages)
    return [Part(model, segments, stage) for stage in range(stages)]


@pytest.fixture
def model() -> nn.Module:
    return family(batch_norm=True).build_model()


def test_the_parts_states_together_are_the_models(model):
    merged = {}
    for part in parts(model, 3, batch_norm=True):
        own = part.unsplit_state()
        assert not merged.keys() & own.keys()
        merged |= own
    whole = model.state_dict()
    assert merged.keys() == whole.keys()
    assert all(torch.equal(merged[key], whole[key]) for key in whole)


def test_a_part_and_its_copy_load_their_share_of_a_whole_state(model):
    part = copy.deepcopy(parts(model, 3, batch_norm=True)[1])
    changed = {key: value + 1 for key, value in model.state_dict().items()}
    part.load_unsplit(changed)
    own = part.unsplit_state()
    assert own
    assert all(torch.equal(value, changed[key]) for key, value in own.items())


def test_trained_parameters_go_by_the_whole_models_names_and_order(model):
    found = [part.named_trained() for part in parts(model, 2, batch_norm=True)]
    names = [name for name, _ in model.named_parameters()]
    for own in found:
        order = [names.index(name) for name, _ in own]
        assert order == sorted(order)
    assert sorted(name for own in found for name, _ in own) == sorted(names)
    whole = sum(parameter.numel() for parameter in model.parameters())
    assert parts(model, 2)[1].parameter_count == whole


def test_a_family_without_pieces_is_refused_in_a_sentence():
    toy = Toy(ToySettings(), ToyData())
    with pytest.raises(SettingsError, match=r"parallel.kind: the models of Toy cannot be cut"):
        cut(toy, toy.build_model(), 2)


def test_more_stages_than_levels_are_refused(model):
    with pytest.raises(SettingsError, match=r"parallel.stages: found 4, expected at most 3"):
        cut(family(), model, 4)


def test_a_tensor_that_no_segment_has_is_named(model):
    model.forgotten = nn.Parameter(torch.ones(1))
    with pytest.raises(ValueError, match=r"forgotten is on the stages \[\] of 2"):
        cut(family(), model, 2)


def test_a_tensor_on_two_stages_is_named(model):
    model.levels[2].up.bias = model.levels[0].up.bias
    with pytest.raises(ValueError, match=r"levels.0.up.bias is on the stages \[0, 1\] of 2"):
        cut(family(), model, 2)
