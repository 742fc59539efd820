import pytest
import torch

from models.family import Family
from protocol.messages import load_plan
from tests.ranks import make_plan
from worker.ranks.group import Group
from worker.ranks.guard import Wishes
from worker.ranks.trial import open_trial
from worker.training.checkpoint import digest
from worker.training.learner import Learner, optimizer_over

RECIPE = {
    "scheduler": "plateau",
    "plateau_patience": 0,
    "precision": "fp16",
    "ema_decay": 0.9,
    "optimizer": "adamw",
}


def trial_and_learner(folder, **recipe):
    place = make_plan(folder, recipe=RECIPE | recipe)
    group = Group(rank=0, ranks=1, device=torch.device("cpu"))
    trial = open_trial(place, load_plan(place.plan), group, lambda: None)
    return trial, Learner(trial)


def train(learner, steps):
    for step in range(steps):
        batch = {"input": torch.full((2, 1, 8, 8), 1.0 + step), "target": torch.zeros(2, 1, 8, 8)}
        learner.guard.forget_gradients()
        loss, flags, terms = learner.guard(batch, 1.0, Wishes())
        learner.guard.backward(learner.scaler.scale(loss), flags)
        learner.scaler.step(learner.optimizer)
        learner.scaler.update(1024.0 + step)
        learner.average.update(learner.model)
        learner.losses.add(terms, 2)
        learner.learning_rate.validated({"error": 1.0})
        learner.progress.step += 1
        learner.set_rate(0.1 / (1 + step))


def test_all_of_a_learners_state_survives_a_round_trip(tmp_path):
    trial, learner = trial_and_learner(tmp_path)
    train(learner, 3)
    state = learner.state(learner.losses.gathered(trial.group))
    judged = learner.judged_model.state_dict()
    trial, other = trial_and_learner(tmp_path / "other")
    other.restore(judged, state, trial)
    restored = other.state(other.losses.gathered(trial.group))
    for part in state:
        assert digest(restored[part]) == digest(state[part]), part
    assert digest(other.judged_model.state_dict()) == digest(judged)
    assert other.learning_rate.at(step=9, epochs_done=1) == 0.01 * 0.5**2


def test_initial_weights_depend_on_the_trials_seed_alone(tmp_path):
    _, one = trial_and_learner(tmp_path / "1", optimizer="sgd")
    torch.rand(5)
    _, two = trial_and_learner(tmp_path / "2", learning_rate=0.5)
    assert digest(one.model.state_dict()) == digest(two.model.state_dict())


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        ({"optimizer": "adam", "betas": [0.5, 0.6]}, ("Adam", {"betas": (0.5, 0.6)})),
        ({"optimizer": "adamw", "weight_decay": 0.1}, ("AdamW", {"weight_decay": 0.1})),
        ({"optimizer": "adam", "epsilon": 1e-3}, ("Adam", {"eps": 1e-3})),
        ({"optimizer": "sgd", "momentum": 0.3}, ("SGD", {"momentum": 0.3})),
    ],
)
def test_the_optimiser_is_the_recipes(tmp_path, recipe, expected):
    trial, learner = trial_and_learner(tmp_path, **recipe)
    optimizer = optimizer_over(learner.parameters(), trial.recipe)
    name, options = expected
    assert type(optimizer).__name__ == name
    assert {key: optimizer.defaults[key] for key in options} == options


def test_weights_that_a_family_starts_from_are_trained_and_averaged(tmp_path, monkeypatch):
    def start_from_ones(self, model):
        for parameter in model.parameters():
            torch.nn.init.ones_(parameter)

    monkeypatch.setattr(Family, "initialize", start_from_ones)
    _, learner = trial_and_learner(tmp_path)
    for model in (learner.model, learner.average.model):
        assert all((parameter == 1).all() for parameter in model.parameters())


def test_frozen_parameters_are_left_out(tmp_path, monkeypatch):
    def freeze_one(family, model):
        model.layers[0].weight.requires_grad_(False)

    monkeypatch.setattr(Family, "initialize", freeze_one)
    trial, learner = trial_and_learner(tmp_path)
    optimizer = optimizer_over(learner.parameters(), trial.recipe)
    assert len(optimizer.param_groups[0]["params"]) == len(learner.parameters()) == 3


def test_plateau_follows_the_metric_that_the_recipe_names_in_its_own_direction(tmp_path):
    for name, metric, expected in (("1", None, 0.5), ("2", "psnr", 1.0)):
        _, learner = trial_and_learner(tmp_path / name, plateau_metric=metric)
        for error, psnr in ((1.0, 20.0), (1.0, 21.0)):
            learner.learning_rate.validated({"error": error, "psnr": psnr})
        assert learner.learning_rate.at(step=9, epochs_done=2) == pytest.approx(0.01 * expected)
