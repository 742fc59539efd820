import pytest

from orchestrator.running.memory_rule import limited, micro_batch, sentence, smaller
from protocol.messages import Plan
from protocol.objective import Objective


def plan(batch_size=None, micro=None, **changes):
    recipe = {} if batch_size is None else {"batch_size": batch_size}
    given = {
        "study": "x",
        "trial": 0,
        "attempt": 0,
        "seed": 0,
        "family": "toy",
        "recipe": recipe,
        "data": {},
        "objective": Objective(metric="error", direction="minimize"),
        "devices": ["cuda:0", "cuda:1"],
        "threads": 1,
        "micro_batch": micro,
    }
    return Plan(**(given | changes))


def test_a_micro_batch_is_the_recipes_batch_unless_the_plan_has_a_smaller_one():
    assert micro_batch(plan(6)) == 6
    assert micro_batch(plan(6, 2)) == 2
    assert micro_batch(plan()) == 4  # as the recipe's default is


@pytest.mark.parametrize(
    ("start", "sizes"), [(6, [3, 1]), (16, [8, 4, 2, 1]), (1, []), (5, [2, 1])]
)
def test_it_is_halved_down_to_one_sample(start, sizes):
    found, size = [], smaller(plan(start))
    while size is not None:
        found.append(size)
        size = smaller(plan(start, size))
    assert found == sizes


def test_the_sentence_names_rank_device_and_sizes_and_says_what_follows():
    assert sentence(plan(6), 1) == (
        "out of memory on rank 1 (cuda:1) with micro-batches of 6; it goes on with 3 at the same "
        "effective batch"
    )


@pytest.mark.parametrize(
    ("changes", "device", "advice"),
    [
        ({}, "(cuda:1)", "or more of them (parallel.kind: model)"),
        ({"memory_gb": 2.5}, "(cuda:1, limited to 2.5 GiB)", "or raise limits.memory_gb"),
        ({"stages": 2, "schedule": "gpipe"}, "(cuda:1)", "holds fewer micro-batches at once"),
    ],
)
def test_the_last_sentence_says_what_can_be_done(changes, device, advice):
    told = sentence(plan(6, 1, **changes), 1)
    assert device in told
    assert "even with one sample at a time" in told
    assert told.endswith(advice)


@pytest.mark.parametrize(
    ("devices", "memory_gb", "whether"),
    [(["cpu", "cpu"], 1.0, True), (["cpu"], None, False), (["cuda:0"], 1.0, False)],
)
def test_processes_are_limited_where_they_work_on_a_cpu(devices, memory_gb, whether):
    assert limited(plan(devices=devices, memory_gb=memory_gb)) == whether
