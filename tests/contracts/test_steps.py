"""What every family promises of its losses and metrics."""

from __future__ import annotations

import pytest
import torch

from tests.contracts.bench import SEED
from worker.ranks.batches import Sharing, epoch_steps
from worker.ranks.guard import Wishes
from worker.training.step import take_step

STEPS = 12


def test_some_steps_on_one_batch_lower_its_loss(bench):
    bench.learner.set_rate(1e-3)  # the recipe's own may overshoot at first
    batch = bench.batch("train", range(4))
    before = bench.step(batch)
    for _ in range(STEPS):
        bench.step(batch)
    bench.model.train()
    assert bench.loss(batch).item() < 0.99 * before


def test_every_trainable_weight_gets_a_gradient(bench):
    """Data-parallel training waits for each of them."""
    bench.model.train()
    bench.loss(bench.batch("train", range(2))).backward()
    without = [
        name
        for name, weight in bench.model.named_parameters()
        if weight.requires_grad and weight.grad is None
    ]
    assert without == []


@pytest.mark.parametrize("samples", [1, 3])
def test_losses_are_finite_scalars_that_hang_on_the_model(bench, samples):
    bench.model.train()
    terms = bench.family.losses(bench.model, bench.batch("train", range(samples)))
    assert terms
    for term in terms.values():
        assert term.shape == ()
        assert torch.isfinite(term)
    assert sum(terms.values()).requires_grad


def test_an_epoch_may_end_in_a_smaller_batch_or_a_single_sample(bench):
    sharing = Sharing(rank=0, ranks=1, batch_size=2, accumulation=1)
    steps = list(epoch_steps([3, 0, 2, 1, 4], sharing))
    batches = iter([bench.batch("train", step.micro_batches[0].indices) for step in steps])
    bench.model.train()
    for step in steps:
        verdict, _ = take_step(bench.trial, bench.learner, step, batches, Wishes())
        assert 0 < verdict.norm < float("inf")
    assert [step.samples for step in steps] == [2, 2, 1]
    assert bench.learner.progress.step == 3


@pytest.mark.parametrize("samples", [1, 3])
def test_evaluation_gives_each_declared_metric_of_each_sample(bench, samples):
    found = bench.evaluate(bench.batch("validation", range(samples)))
    assert found.keys() == bench.family.metrics.keys()
    for values in found.values():
        assert values.shape == (samples,)
        assert torch.isfinite(values).all()


def test_the_same_seed_gives_the_same_evaluation(bench):
    batch = bench.batch("validation", range(3))
    first, second = bench.evaluate(batch), bench.evaluate(batch)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_samples_metrics_do_not_depend_on_its_neighbours_in_the_batch(bench):
    """So that an evaluation is the same for every batch size and number of ranks."""
    bench.step(bench.batch("train", range(2)))  # some models are constant before the first
    together = bench.evaluate(bench.batch("validation", range(3)), seed=SEED)
    for index in range(3):
        single = bench.evaluate(bench.batch("validation", [index]), seed=SEED + 1 + index)
        for name, value in single.items():
            torch.testing.assert_close(value[0], together[name][index], rtol=1e-4, atol=1e-5)


def test_evaluation_leaves_the_weights_and_statistics_alone(bench):
    before = {name: value.clone() for name, value in bench.model.state_dict().items()}
    bench.evaluate(bench.batch("validation", range(2)))
    after = bench.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
