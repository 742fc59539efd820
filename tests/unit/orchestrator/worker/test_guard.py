import pytest
import torch

from orchestrator.messages import load_plan
from orchestrator.worker.group import Group
from orchestrator.worker.guard import Verdict, Wishes
from orchestrator.worker.learner import Learner
from orchestrator.worker.trial import open_trial
from tests.ranks import make_plan


@pytest.fixture
def learner(tmp_path, request):
    recipe = getattr(request, "param", {})
    folder = make_plan(tmp_path, recipe=recipe)
    group = Group(rank=0, ranks=1, device=torch.device("cpu"))
    return Learner(open_trial(folder, load_plan(folder.plan), group, lambda: None))


def batch(value=1.0):
    return {"input": torch.full((2, 1, 8, 8), value), "target": torch.zeros(2, 1, 8, 8)}


def backward(learner, *, value=1.0, wishes=None):
    loss, word, terms = learner.guard(batch(value), 1.0, wishes or Wishes())
    (learner.scaler.scale(loss) + word).backward()
    return loss, terms


def verdict(learner):
    return Verdict.read(torch.tensor(1.0), learner.guard.signal)


def test_without_a_word_the_signal_is_silent_and_the_loss_is_the_familys(learner):
    loss, terms = backward(learner)
    assert verdict(learner) == Verdict(norm=1.0, stop=False, save=False, nonfinite_ranks=[])
    assert loss.item() == pytest.approx(sum(term.item() for term in terms.values()))


@pytest.mark.parametrize("learner", [{"precision": "fp16"}, {"precision": "off"}], indirect=True)
@pytest.mark.parametrize("wish", ["stop", "save"])
def test_a_wish_in_one_micro_batch_is_known_after_all_of_them(learner, wish):
    backward(learner)
    backward(learner, wishes=Wishes(**{wish: True}))
    backward(learner)
    found = verdict(learner)
    assert (found.stop, found.save) == (wish == "stop", wish == "save")
    assert found.nonfinite_ranks == []


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_nonfinite_loss_names_its_rank_and_leaves_the_wishes_readable(learner, value):
    backward(learner, wishes=Wishes(stop=True))
    backward(learner, value=value)
    found = verdict(learner)
    assert found.nonfinite_ranks == [0]
    assert found.stop
    assert not found.save


def test_the_signal_is_no_part_of_what_is_trained_or_kept(learner):
    backward(learner, wishes=Wishes(stop=True))
    signal = learner.guard.signal
    trained = [
        parameter for group in learner.optimizer.param_groups for parameter in group["params"]
    ]
    assert all(parameter.grad is not signal for parameter in [*trained, *learner.parameters()])
    assert "signal" not in learner.model.state_dict()
    assert len(trained) == len(list(learner.model.parameters()))
