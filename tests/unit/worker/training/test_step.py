import math

import pytest
import torch

from protocol.messages import load_plan
from tests.ranks import make_plan
from worker.ranks.batches import MicroBatch, Step
from worker.ranks.divergence import Divergence
from worker.ranks.group import Group
from worker.ranks.guard import Wishes
from worker.ranks.trial import open_trial
from worker.training.checkpoint import digest
from worker.training.learner import Learner
from worker.training.step import take_step


class OneRank:
    """A trial of one rank, stepped by hand on the same two samples."""

    def __init__(self, folder, **recipe):
        place = make_plan(folder, recipe=recipe)
        group = Group(rank=0, ranks=1, device=torch.device("cpu"))
        self.ticks = 0
        self.trial = open_trial(place, load_plan(place.plan), group, self.tick)
        self.learner = Learner(self.trial)

    def tick(self):
        self.ticks += 1

    def step(self, *, value=1.0, parts=1, **wishes):
        micro = MicroBatch(indices=(0, 1), samples=2, weight=1 / parts)
        batch = {"input": torch.full((2, 1, 8, 8), value), "target": torch.zeros(2, 1, 8, 8)}
        step = Step(
            seen=self.learner.progress.seen, samples=2 * parts, micro_batches=(micro,) * parts
        )
        return take_step(self.trial, self.learner, step, iter([batch] * parts), Wishes(**wishes))

    def weights(self):
        return torch.cat([item.detach().flatten() for item in self.learner.parameters()])


PLAIN = {"optimizer": "sgd", "momentum": 0.0, "learning_rate": 0.5}


@pytest.mark.parametrize("precision", ["off", "fp16"])
def test_a_long_gradient_is_clipped_and_its_whole_norm_told(tmp_path, precision):
    one = OneRank(tmp_path, clip_norm=0.01, precision=precision, **PLAIN)
    before = one.weights()
    verdict, _ = one.step(value=3.0)
    assert verdict.norm > 0.1
    assert (one.weights() - before).norm().item() == pytest.approx(0.5 * 0.01, rel=1e-3)


@pytest.mark.parametrize("clip", [None, 1e3])
def test_a_short_gradient_is_left_as_it_is(tmp_path, clip):
    one = OneRank(tmp_path, clip_norm=clip, **PLAIN)
    before = one.weights()
    verdict, _ = one.step()
    assert (one.weights() - before).norm().item() == pytest.approx(0.5 * verdict.norm, rel=1e-4)


def test_a_moving_threshold_clips_the_step_after_the_first_twenty(tmp_path):
    one = OneRank(tmp_path, clip_norm=1e3, clip_dynamic=1.5, **PLAIN | {"learning_rate": 1e-6})
    for _ in range(20):
        usual, _ = one.step()
    one.learner.set_rate(0.5)
    before = one.weights()
    outlier, _ = one.step(value=30.0)
    assert outlier.norm > 2 * usual.norm
    moved = (one.weights() - before).norm().item()
    assert moved == pytest.approx(0.5 * 1.5 * usual.norm, rel=1e-3)


def test_a_step_that_the_gradient_scaler_skips_leaves_the_moving_threshold(tmp_path):
    one = OneRank(tmp_path, precision="fp16", clip_norm=1e3, clip_dynamic=2.0)
    one.step()
    before = one.learner.clipping.state()
    assert before["steps"] == 1
    one.trial.family.settings.__dict__["always_nan_gradient"] = True
    one.step()
    assert one.learner.clipping.state() == before


def test_progress_counts_steps_and_samples_and_every_micro_batch_ticks(tmp_path):
    one = OneRank(tmp_path)
    one.step(parts=3)
    one.step()
    assert (one.learner.progress.step, one.learner.progress.seen, one.ticks) == (2, 8, 4)


def test_wishes_are_granted_in_the_same_step(tmp_path):
    one = OneRank(tmp_path)
    assert one.step(stop=True)[0].stop
    verdict, _ = one.step(save=True)
    assert verdict.save
    assert not verdict.stop


@pytest.mark.parametrize(
    ("recipe", "value", "where"),
    [({}, float("nan"), "loss"), ({"always_nan_gradient": True}, 1.0, "gradient")],
)
def test_a_divergence_changes_neither_weights_nor_optimiser_nor_progress(
    tmp_path, recipe, value, where
):
    one = OneRank(tmp_path, ema_decay=0.9, **recipe)
    before = digest(one.learner.state({}) | {"random": None})
    with pytest.raises(Divergence) as raised:
        one.step(value=value)
    one.learner.progress.skipped = 0
    assert digest(one.learner.state({}) | {"random": None}) == before
    assert (raised.value.where, raised.value.step, raised.value.ranks) == (where, 1, [0])
    assert math.isnan(raised.value.losses["data"]) == (where == "loss")


def test_a_step_that_the_gradient_scaler_skips_moves_neither_weights_nor_their_average(tmp_path):
    one = OneRank(tmp_path, precision="fp16", ema_decay=0.5, learning_rate=1e-3)
    one.step()
    before = one.weights(), digest(one.learner.judged_model.state_dict())
    one.trial.family.settings.__dict__["always_nan_gradient"] = True
    one.step()
    assert torch.equal(one.weights(), before[0])
    assert digest(one.learner.judged_model.state_dict()) == before[1]
    assert one.learner.average.updates == 1
    assert one.learner.progress.skipped == 1
    one.trial.family.settings.__dict__["always_nan_gradient"] = False
    one.step()
    assert one.learner.progress.skipped == 0
    assert one.learner.average.updates == 2


def test_a_step_depends_on_its_place_and_not_on_what_was_drawn_before(tmp_path):
    one, other = (OneRank(tmp_path / name, dropout=0.5) for name in ("one", "other"))
    one.step()
    torch.rand(100)
    other.step()
    assert torch.equal(one.weights(), other.weights())
