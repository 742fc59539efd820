from itertools import pairwise

import pytest

from worker.pipeline.orders import DURATION, Work, duration, orders, stage_of

CASES = [(stages, micro) for stages in (2, 3, 4) for micro in (1, 2, 3, 5, 8)]


def all_work(found: dict[int, list[Work]]) -> list[Work]:
    return [work for order in found.values() for work in order]


def play(found: dict[int, list[Work]], stages: int) -> dict[Work, int]:
    """When each work ends if every stage keeps to its order and waits for what it needs."""
    ends: dict[Work, int] = {}
    free = dict.fromkeys(found, 0)
    left = {stage: list(order) for stage, order in found.items()}
    while any(left.values()):
        moved = False
        for stage, order in left.items():
            if order and (needed := needs(order[0], stages)) <= ends.keys():
                work = order.pop(0)
                began = max([free[stage], *(ends[other] for other in needed)])
                free[stage] = ends[work] = began + DURATION[work.direction]
                moved = True
        assert moved, "a deadlock"
    return ends


def needs(work: Work, stages: int) -> set[Work]:
    if work.direction == "forward":
        before = work._replace(segment=work.segment - 1)
        return {before} if work.segment else set()
    own = work._replace(direction="forward")
    after = work._replace(segment=work.segment + 1)
    return {own, after} if work.segment < 2 * stages - 1 else {own}


@pytest.mark.parametrize("kind", ["1f1b", "gpipe"])
@pytest.mark.parametrize(("stages", "micro"), CASES)
def test_every_pass_of_every_micro_batch_stands_once_and_on_its_stage(kind, stages, micro):
    found = orders(kind, stages, micro)
    expected = {
        Work(direction, segment, number)
        for direction in ("forward", "backward")
        for segment in range(2 * stages)
        for number in range(micro)
    }
    assert len(all_work(found)) == len(expected)
    assert set(all_work(found)) == expected
    for stage, order in found.items():
        assert {stage_of(work.segment, stages) for work in order} == {stage}


@pytest.mark.parametrize("kind", ["1f1b", "gpipe"])
@pytest.mark.parametrize(("stages", "micro"), CASES)
def test_stages_that_keep_to_their_orders_end_when_foretold(kind, stages, micro):
    ends = play(orders(kind, stages, micro), stages)
    assert max(ends.values()) == duration(kind, stages, micro)


@pytest.mark.parametrize(("stages", "micro"), CASES)
def test_gpipe_is_as_long_as_its_formula_says(stages, micro):
    assert duration("gpipe", stages, micro) == 6 * (micro + stages - 1)


@pytest.mark.parametrize(("stages", "micro"), CASES)
def test_gpipe_goes_all_the_way_forward_first(stages, micro):
    for order in orders("gpipe", stages, micro).values():
        directions = [work.direction for work in order]
        assert directions == sorted(directions, reverse=True)


@pytest.mark.parametrize(("stages", "micro"), CASES)
def test_1f1b_takes_no_more_than_gpipe_and_a_bubble_of_two_passes(stages, micro):
    assert duration("1f1b", stages, micro) <= duration("gpipe", stages, micro) + 4


@pytest.mark.parametrize(("stages", "micro"), CASES)
def test_1f1b_bounds_the_micro_batches_that_a_stage_keeps(stages, micro):
    for stage, order in orders("1f1b", stages, micro).items():
        kept = most = 0
        for work in order:
            if work.segment == stage:
                kept += 1 if work.direction == "forward" else -1
            most = max(most, kept)
        assert most <= 2 * stages - 1


def test_micro_batches_pass_a_segment_in_their_order():
    for order in orders("1f1b", 3, 8).values():
        for segment in {work.segment for work in order}:
            for direction in ("forward", "backward"):
                numbers = [work.micro for work in order if work[:2] == (direction, segment)]
                assert all(a < b for a, b in pairwise(numbers))
