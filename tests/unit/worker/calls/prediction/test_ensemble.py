"""Samples through programs: averaged, in batches, in less and less memory."""

import numpy as np
import pytest
import torch

from models.program import Program
from protocol.errors import UserError
from worker.calls.prediction.ensemble import Ensemble


class Scale(Program):
    """Multiplies; memory is for so many samples at once, and so many parts within one."""

    def __init__(self, factor=1.0, most=100, parts=1, room=100):
        super().__init__()
        self.factor, self.most, self.parts, self.room = factor, most, parts, room
        self.seen = []

    def forward(self, values):
        self.seen.append(len(values))
        if len(values) > self.most or self.parts > self.room:
            raise torch.OutOfMemoryError("out of memory")
        return (values * self.factor,)

    def spare_memory(self):
        if self.parts == 1:
            return False
        self.parts //= 2
        return True


def ensemble(*programs, batch=4, said=None):
    said = [] if said is None else said
    return Ensemble(programs, torch.device("cpu"), batch, said.append)


VALUES = np.arange(10, dtype=np.float32)[:, np.newaxis]


def test_the_mean_over_the_programs_in_batches():
    one, other = Scale(1.0), Scale(4.0)
    np.testing.assert_allclose(ensemble(one, other)(VALUES), 2.5 * VALUES)
    assert one.seen == other.seen == [4, 4, 2]


def test_a_batch_that_does_not_fit_is_halved_for_good():
    said = []
    narrow = Scale(2.0, most=3)
    runs = ensemble(narrow, batch=8, said=said)
    np.testing.assert_allclose(runs(VALUES), 2 * VALUES)
    assert narrow.seen == [8, 4, 2, 2, 2, 2, 2]
    assert said[-1] == "memory ran out with 4 at once: going on with 2"
    runs(VALUES[:2])
    assert narrow.seen[-1] == 2


def test_where_a_sample_does_not_fit_less_of_it_is_done_at_once():
    said = []
    deep = Scale(2.0, parts=8, room=2)
    np.testing.assert_allclose(ensemble(deep, batch=1, said=said)(VALUES[:1]), 2 * VALUES[:1])
    assert (deep.parts, len(said)) == (2, 2)
    with pytest.raises(UserError, match="--device: the memory of cpu does not suffice for one"):
        ensemble(Scale(room=0), batch=1)(VALUES)


def test_what_is_no_lack_of_memory_stays_what_it_is():
    class Broken(Scale):
        def forward(self, values):
            raise RuntimeError("a defect")

    with pytest.raises(RuntimeError, match="a defect"):
        ensemble(Broken())(VALUES)


def test_results_that_are_no_numbers_are_refused():
    with pytest.raises(UserError, match="makes 4 values of 4 NaN or infinite"):
        ensemble(Scale(float("nan")))(VALUES)
