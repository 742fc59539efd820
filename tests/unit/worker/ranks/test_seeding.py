import random
import traceback

import numpy as np
import pytest
import torch

from worker.ranks import seeding
from worker.ranks.seeding import mix, random_state, reseed, restore_random_state


def draws():
    return torch.rand(3).tolist(), np.random.rand(3).tolist(), random.random()


def test_the_same_seed_gives_the_same_numbers_in_all_three_libraries():
    reseed(mix(1, "step", 2))
    first = draws()
    reseed(mix(1, "step", 2))
    assert draws() == first


@pytest.mark.parametrize("other", [(1, 23), (12, 3), (1, "2", 3), (1, 2), (3, 2, 1)])
def test_seeds_differ_whenever_a_part_or_its_place_differs(other):
    assert mix(1, 2, 3) != mix(*other)


def test_a_seed_is_the_same_in_every_process_and_release():
    assert mix(7, "weights") == 2370708682607018381


def test_restored_states_continue_all_three_sequences():
    reseed(5)
    draws()
    state = random_state()
    following = draws()
    reseed(6)
    restore_random_state(state)
    assert draws() == following


@pytest.mark.parametrize("seed", [0, 1, mix(1, "step", 2), 2**63 - 1])
def test_torch_draws_what_its_own_manual_seed_would_have_it_draw(seed):
    torch.manual_seed(seed)
    expected = torch.rand(5), torch.randn(17), torch.randperm(9), torch.get_rng_state()
    reseed(seed)
    found = torch.rand(5), torch.randn(17), torch.randperm(9), torch.get_rng_state()
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_gpus_in_use_are_seeded_with_the_rest(monkeypatch):
    seeds = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeds.append)
    reseed(5)
    reseed(6)
    assert seeds == [5, 6]


def test_gpus_that_come_into_use_later_get_the_latest_seed(monkeypatch):
    seeds, queued = [], []
    monkeypatch.setattr(seeding, "_of_later_gpus", [])
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeds.append)
    monkeypatch.setattr(torch.cuda, "_lazy_call", queued.append)
    for seed in (5, 6, 7):
        reseed(seed)
    (initialise,) = queued
    initialise()
    assert seeds == [7]


def test_nothing_is_noted_for_devices_that_nobody_uses(monkeypatch):
    reseed(5)
    monkeypatch.setattr(traceback, "format_stack", lambda *_: pytest.fail("took a stack"))
    reseed(6)
