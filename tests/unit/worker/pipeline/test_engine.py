"""Gradients of a model that is cut over real processes are those of the whole model."""

import numpy as np
import pytest
import torch
from torch.utils.data import default_collate

from protocol.messages import load_plan
from tests.ranks import make_plan, talk_together
from worker.ranks.batches import epoch_steps
from worker.ranks.group import Group, join
from worker.ranks.guard import Wishes
from worker.ranks.loading import SeededDataset
from worker.ranks.trial import open_split, open_trial
from worker.training.learner import Learner
from worker.training.step import accumulate

TOY = "tests/families/pipelined_toy.py:PipelinedToy"
SAMPLES = 7  # a whole global batch of four, and one whose micro-batches differ in shape
CUTS = {
    "1f1b_m1": {"schedule": "1f1b", "recipe": {"batch_size": 4, "accumulation": 1}},
    "1f1b_m2": {"schedule": "1f1b", "recipe": {"batch_size": 2, "accumulation": 2}},
    "1f1b_m4": {"schedule": "1f1b", "recipe": {"batch_size": 1, "accumulation": 4}},
    "gpipe_m1": {"schedule": "gpipe", "recipe": {"batch_size": 4, "accumulation": 1}},
    "gpipe_m4": {"schedule": "gpipe", "recipe": {"batch_size": 1, "accumulation": 4}},
}
MESH = {
    "mesh_m1": {"schedule": "1f1b", "recipe": {"batch_size": 2, "accumulation": 1}},
    "mesh_m2": {"schedule": "gpipe", "recipe": {"batch_size": 1, "accumulation": 2}},
}
Gradients = list[dict[str, np.ndarray]]  # by name, of each step


def gradients(folder, group: Group) -> Gradients:
    trial = open_trial(folder, load_plan(folder.plan), group, lambda: None)
    learner = Learner(trial)
    learner.model.train()
    samples = SeededDataset(open_split(trial.family, "train"), 0)
    found = []
    for step in epoch_steps(range(SAMPLES), trial.sharing):
        batches = iter(
            [
                default_collate([samples[0, index] for index in micro.indices])
                for micro in step.micro_batches
            ]
            if group.leads
            else []
        )
        history = accumulate(learner, step, batches, Wishes())
        assert len(history) == (len(step.micro_batches) if group.leads else 0)
        found.append({name: item.grad.numpy().copy() for name, item in learner.named_trained()})
    return found


def planned(place, name, **changes):
    return make_plan(place / name, family=TOY, **changes)


def answer_for(cuts, ranks, stages):
    def answer(place, rank, queue):
        torch.set_num_threads(1)
        group = join(
            devices=["cpu"] * ranks,
            rank=rank,
            rendezvous=place / "meeting",
            patience=60.0,
            stages=stages,
        )
        found = {
            name: gradients(
                planned(place / str(rank), name, ranks=ranks, stages=stages, **cut), group
            )
            for name, cut in cuts.items()
        }
        queue.put((rank, found))
        group.leave()

    return answer


def three_stages(place, rank, queue):
    answer_for(CUTS, 3, 3)(place, rank, queue)


def two_by_two(place, rank, queue):
    answer_for(MESH, 4, 2)(place, rank, queue)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Gradients:
    place = tmp_path_factory.mktemp("whole")
    recipe = {"batch_size": 4, "accumulation": 1}
    alone = Group(rank=0, ranks=1, device=torch.device("cpu"))
    return gradients(planned(place, "whole", recipe=recipe), alone)


@pytest.fixture(scope="module")
def of_three(tmp_path_factory):
    return talk_together(three_stages, tmp_path_factory.mktemp("three"), ranks=3)


@pytest.fixture(scope="module")
def of_four(tmp_path_factory):
    return talk_together(two_by_two, tmp_path_factory.mktemp("four"), ranks=4)


def same(found: Gradients, expected: Gradients) -> None:
    assert len(found) == len(expected) == 2
    for step, wanted in zip(found, expected, strict=True):
        assert step.keys() == wanted.keys()
        for name, gradient in wanted.items():
            assert np.linalg.norm(gradient) > 0
            difference = np.linalg.norm(step[name] - gradient)
            assert difference < 1e-5 * np.linalg.norm(gradient), name


def merged(parts: list[Gradients]) -> Gradients:
    """The stages' gradients together; no parameter is on two of them."""
    steps = []
    for step in zip(*parts, strict=True):
        assert sum(map(len, step)) == len({name for part in step for name in part})
        steps.append({name: gradient for part in step for name, gradient in part.items()})
    return steps


@pytest.mark.parametrize("cut", CUTS)
def test_three_stages_find_the_whole_models_gradient(of_three, whole, cut):
    same(merged([of_three[rank][cut] for rank in range(3)]), whole)


@pytest.mark.parametrize("cut", MESH)
@pytest.mark.parametrize("replica", [0, 1])
def test_each_of_two_replicas_of_two_stages_has_the_global_batchs_gradient(
    of_four, whole, cut, replica
):
    same(merged([of_four[2 * replica + stage][cut] for stage in range(2)]), whole)


@pytest.mark.parametrize("cut", MESH)
def test_replicas_of_a_stage_have_the_very_same_bits(of_four, cut):
    for stage in range(2):
        for one, other in zip(of_four[stage][cut], of_four[2 + stage][cut], strict=True):
            assert all(np.array_equal(one[name], other[name]) for name in one)
