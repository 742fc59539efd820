import pytest
import torch
from torch import nn

from worker.state.averages import Average


def test_the_average_follows_the_weights_with_a_decay_that_grows_to_the_one_asked_for():
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    average = Average(model, decay=0.5)
    nn.init.ones_(model.weight)
    expected = 0.0
    for update in range(20):
        average.update(model)
        decay = min(0.5, (1 + update) / (10 + update))
        expected = decay * expected + (1 - decay)
        assert average.model.weight.item() == pytest.approx(expected)


def test_buffers_are_copied_and_the_trained_model_is_left_alone():
    model = nn.BatchNorm1d(2)
    average = Average(model, decay=0.9)
    model.running_mean.fill_(7.0)
    model.weight.data.fill_(3.0)
    average.update(model)
    assert average.model.running_mean.tolist() == [7.0, 7.0]
    assert model.weight.tolist() == [3.0, 3.0]
    assert not any(parameter.requires_grad for parameter in average.model.parameters())
    assert torch.all(average.model.weight < 3.0)
