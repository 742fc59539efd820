import pytest
import torch
from torch.nn.utils import get_total_norm

from protocol.messages import load_plan
from protocol.recipe import TrainingRecipe
from tests.ranks import make_plan, talk_together
from worker.ranks.group import Group, join
from worker.ranks.guard import GuardedLoss, ReplicaGuard, StepVerdict, Wishes, total_norm
from worker.ranks.trial import open_trial
from worker.training.learner import Learner


@pytest.fixture
def learner(tmp_path, request):
    recipe = getattr(request, "param", {})
    folder = make_plan(tmp_path, recipe=recipe)
    group = Group(rank=0, ranks=1, device=torch.device("cpu"))
    return Learner(open_trial(folder, load_plan(folder.plan), group, lambda: None))


def batch(value=1.0):
    return {"input": torch.full((2, 1, 8, 8), value), "target": torch.zeros(2, 1, 8, 8)}


def backward(learner, *, value=1.0, wishes=None):
    loss, flags, terms = learner.guard(batch(value), 1.0, wishes or Wishes())
    learner.guard.backward(learner.scaler.scale(loss), flags)
    return loss, terms


def verdict(learner):
    return StepVerdict.read(torch.tensor(1.0), learner.guard.signal)


def test_without_a_word_the_signal_is_silent_and_the_loss_is_the_familys(learner):
    loss, terms = backward(learner)
    assert verdict(learner) == StepVerdict(norm=1.0, stop=False, save=False, nonfinite_ranks=[])
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


class WithBuffers(torch.nn.Linear):
    """A layer with a constant that each rank may compute, and one buffer that is state."""

    def __init__(self, rank):
        super().__init__(1, 1)
        self.register_buffer("constant", torch.full((1,), float(rank)), persistent=False)
        self.register_buffer("state", torch.full((1,), float(rank)))


class Squares:
    def losses(self, model, batch):
        return {"square": model(batch["input"]).square().mean()}


def step_together(rendezvous, rank, answers):
    group = join(devices=["cpu"] * 2, rank=rank, rendezvous=rendezvous, patience=20.0)
    model = WithBuffers(rank)
    guard = ReplicaGuard(GuardedLoss(Squares(), model, TrainingRecipe(), group), group)
    model.constant.fill_(float(rank))
    model.state.fill_(float(rank))
    found = {"exchanged": []}
    for more in (True, False):
        with guard.accumulating(more):
            guard.backward(*guard({"input": torch.ones(1, 1) * (rank + 1)}, 1.0, Wishes())[:2])
        found["exchanged"].append(model.weight.grad.item())
    found["buffers"] = [model.constant.item(), model.state.item()]
    group.leave()
    answers.put((rank, found))


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    rendezvous = tmp_path_factory.mktemp("guard") / "rendezvous"
    return talk_together(step_together, rendezvous, ranks=2)


def test_gradients_are_exchanged_with_the_last_micro_batch_alone(together):
    first, second = together[0]["exchanged"], together[1]["exchanged"]
    assert first[0] != second[0]
    assert first[1] == second[1]


def test_ranks_exchange_the_buffers_that_are_state_and_spare_the_constants(together):
    assert [together[rank]["buffers"] for rank in (0, 1)] == [[0.0, 0.0], [1.0, 0.0]]


class Backwards(torch.nn.Module):
    """Several buckets' worth of layers, called in another order than they are defined in."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = torch.nn.ModuleList(torch.nn.Linear(400, 400) for _ in range(5))

    def forward(self, values):
        for number in (3, 0, 4, 1, 2):
            values = self.layers[number](values).tanh()
        return values


def gradients_of_steps(rendezvous, rank, answers):
    group = join(devices=["cpu"] * 3, rank=rank, rendezvous=rendezvous, patience=20.0)
    torch.manual_seed(rank)
    values = torch.randn(4, 400)

    def step(guard, model):
        guard.forget_gradients()
        with guard.accumulating(more=False):
            guard.backward(*guard({"input": values}, 1.0, Wishes())[:2])
        return [parameter.grad.clone() for parameter in model.parameters()]

    model = Backwards()
    guard = ReplicaGuard(GuardedLoss(Squares(), model, TrainingRecipe(), group), group)
    first, second, third = (step(guard, model) for _ in range(3))
    other = Backwards()
    resumed = ReplicaGuard(GuardedLoss(Squares(), other, TrainingRecipe(), group), group)
    resumed.follow(guard.arrival())
    again, _ = step(resumed, other), step(resumed, other)  # torch tells of it in the next step
    data = [each._parallel._get_ddp_logging_data() for each in (guard, resumed)]
    group.leave()
    equal = [
        all(torch.equal(a, b) for a, b in zip(one, second, strict=True))
        for one in (first, third, again)
    ]
    buckets = [each["rebuilt_bucket_sizes"] for each in data]
    answers.put((rank, (equal, buckets, guard.arrival())))


def test_a_resumed_step_of_three_ranks_adds_gradients_up_as_the_unbroken_one(tmp_path):
    answers = talk_together(gradients_of_steps, tmp_path / "rendezvous", ranks=3)
    for equal, buckets, arrival in answers.values():
        assert equal == [False, True, True]  # the first step has buckets of its own
        assert buckets[0] == buckets[1]
        assert len(buckets[0].split(",")) > 1  # so that reduction and backward pass overlap
        layers = [name.split(".")[2] for name in arrival if name.endswith("weight")]
        assert layers == ["2", "1", "4", "0", "3"]


@pytest.mark.parametrize("dtypes", [[torch.float32], [torch.float32, torch.float64]])
@pytest.mark.parametrize("sizes", [[5], [1, 40, 3], []])
def test_the_gradients_norm_is_torchs_own(sizes, dtypes):
    torch.manual_seed(0)
    gradients = [torch.randn(size, 7).to(dtype) for size in sizes for dtype in dtypes]
    assert torch.equal(total_norm(gradients), get_total_norm(gradients))
