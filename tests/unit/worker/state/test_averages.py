import pytest
import torch
from torch import nn

from worker.ranks.group import Group
from worker.state.averages import Average, LossMeans


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


def alone(rank=0, ranks=1):
    return Group(rank=rank, ranks=ranks, device=torch.device("cpu"))


@pytest.mark.parametrize(
    "shares",
    [
        {"sums": {"mse": 6.0}, "samples": 3},  # as version 0.2.0 kept them
        {"sums": [{"mse": 2.0}, {}, {"mse": 4.0}], "samples": [1, 0, 2]},  # of three ranks
    ],
)
def test_an_epochs_loss_sums_go_on_from_those_of_other_ranks(shares):
    means = LossMeans()
    means.restore(shares, alone())
    means.add({"mse": torch.tensor(10.0)}, 1)
    assert means.means(alone()) == {"mse": 4.0}


def test_each_rank_goes_on_from_its_own_loss_sums():
    shares = {"sums": [{"mse": 2.0}, {"mse": 4.0}], "samples": [1, 2]}
    found = []
    for rank in (0, 1):
        means = LossMeans()
        means.restore(shares, alone(rank, 2))
        found.append(means.gathered(alone()))
    assert found == [
        {"sums": [{"mse": 2.0}], "samples": [1]},
        {"sums": [{"mse": 4.0}], "samples": [2]},
    ]
