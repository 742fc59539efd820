import itertools
from dataclasses import replace

import pytest

from worker.ranks.batches import (
    Sharing,
    epoch_order,
    epoch_steps,
    steps_per_epoch,
    validation_rounds,
)

SHAPES = [
    (samples, ranks, size, accumulation)
    for samples in (1, 2, 5, 13, 24)
    for ranks in (1, 2, 3)
    for size in (1, 4)
    for accumulation in (1, 3)
]


def shared(ranks, size, accumulation=1):
    return [
        Sharing(rank=rank, ranks=ranks, batch_size=size, accumulation=accumulation)
        for rank in range(ranks)
    ]


def test_an_epochs_order_is_a_permutation_that_depends_on_seed_and_epoch_alone():
    order = epoch_order(1, 2, 50)
    assert sorted(order) == list(range(50))
    assert order == epoch_order(1, 2, 50)
    assert order != epoch_order(1, 3, 50)
    assert order != epoch_order(2, 2, 50)


@pytest.mark.parametrize(("samples", "ranks", "size", "accumulation"), SHAPES)
def test_the_ranks_train_on_every_sample_exactly_once(samples, ranks, size, accumulation):
    order = epoch_order(0, 1, samples)
    trained = [
        index
        for sharing in shared(ranks, size, accumulation)
        for step in epoch_steps(order, sharing)
        for micro in step.micro_batches
        for index in micro.indices[: micro.samples]
    ]
    assert sorted(trained) == list(range(samples))


@pytest.mark.parametrize(("samples", "ranks", "size", "accumulation"), SHAPES)
def test_all_ranks_run_the_same_number_of_micro_batches(samples, ranks, size, accumulation):
    order = epoch_order(0, 1, samples)
    each = [
        [len(step.micro_batches) for step in epoch_steps(order, sharing)]
        for sharing in shared(ranks, size, accumulation)
    ]
    assert all(counts == each[0] for counts in each)
    assert len(each[0]) == steps_per_epoch(samples, shared(ranks, size, accumulation)[0])
    assert max(each[0]) <= accumulation


@pytest.mark.parametrize(("samples", "ranks", "size", "accumulation"), SHAPES)
def test_weights_make_the_ranks_average_the_mean_over_the_global_batch(
    samples, ranks, size, accumulation
):
    order = epoch_order(0, 1, samples)
    steps = zip(
        *(epoch_steps(order, sharing) for sharing in shared(ranks, size, accumulation)), strict=True
    )
    for step in steps:
        parts = list(itertools.chain(*(part.micro_batches for part in step)))
        # Each sample's index stands for its loss, and a part's loss is the mean over it.
        averaged = (
            sum(part.weight * sum(part.indices) / len(part.indices) for part in parts) / ranks
        )
        own = [index for part in parts for index in part.indices[: part.samples]]
        assert averaged == pytest.approx(sum(own) / len(own))


def test_a_resumed_epoch_continues_with_the_very_steps_that_remained():
    order = epoch_order(0, 1, 21)
    (sharing, _) = shared(2, 2, 2)
    steps = list(epoch_steps(order, sharing))
    assert list(epoch_steps(order, sharing, seen=16)) == steps[2:]


def test_a_smaller_micro_batch_at_the_same_global_batch_trains_on_the_same_samples_per_step():
    order = epoch_order(0, 1, 24)
    large, small = shared(2, 4, 1)[1], shared(2, 2, 2)[1]
    for one, other in zip(epoch_steps(order, large), epoch_steps(order, small), strict=True):
        assert [i for micro in one.micro_batches for i in micro.indices] == [
            i for micro in other.micro_batches for i in micro.indices
        ]


@pytest.mark.parametrize(("samples", "ranks", "size", "accumulation"), SHAPES)
def test_validation_visits_every_sample_once_in_equally_many_rounds(
    samples, ranks, size, accumulation
):
    each = [validation_rounds(samples, sharing) for sharing in shared(ranks, size, accumulation)]
    assert len({len(rounds) for rounds in each}) == 1
    assert sorted(itertools.chain(*itertools.chain(*each))) == list(range(samples))


REDUCED = [(6, 3, 2), (5, 2, 1), (7, 4, 3), (4, 1, 1), (1, 1, 2)]


@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize(("size", "reduced", "accumulation"), REDUCED)
@pytest.mark.parametrize("samples", [1, 13, 50])
def test_a_reduced_micro_batch_leaves_every_step_its_samples_and_their_weights(
    samples, size, reduced, accumulation, ranks
):
    order = epoch_order(0, 1, samples)
    whole = [list(epoch_steps(order, each)) for each in shared(ranks, size, accumulation)]
    less = [replace(each, reduced=reduced) for each in shared(ranks, size, accumulation)]
    parts = [list(epoch_steps(order, each)) for each in less]
    for rank in range(ranks):
        assert [(s.seen, s.samples) for s in parts[rank]] == [
            (s.seen, s.samples) for s in whole[rank]
        ]
        for one, other in zip(whole[rank], parts[rank], strict=True):
            assert _weighed(other) == pytest.approx(_weighed(one))
            assert list(_weighed(other)) == list(_weighed(one))  # in the same order
            assert max(len(micro.indices) for micro in other.micro_batches) <= reduced
    assert len({tuple(len(step.micro_batches) for step in steps) for steps in parts}) == 1


def test_validation_runs_in_reduced_micro_batches_too():
    (sharing,) = shared(1, 6)
    rounds = validation_rounds(8, replace(sharing, reduced=3))
    assert rounds == [(0, 1, 2), (3, 4, 5), (6, 7)]


def _weighed(step):
    """What every sample's loss counts for in this rank's gradient."""
    return {
        index: micro.weight / micro.samples
        for micro in step.micro_batches
        for index in micro.indices[: micro.samples]
    }
