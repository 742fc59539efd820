import random

import numpy as np
import pytest
import torch

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
