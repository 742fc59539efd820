"""No family's training step needs an operator that torch cannot run deterministically on a GPU."""

import re

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from worker.ranks.determinism import deterministic
from worker.ranks.guard import Wishes

# Of the operators of which `torch.use_deterministic_algorithms` says that they raise an error.
REFUSED = re.compile(
    r"(adaptive_)?avg_pool3d_backward|adaptive_(avg|max)_pool\dd_backward|fractional_max_pool"
    r"|max_unpool|upsample_(linear1d|bilinear2d|bicubic2d|trilinear3d).*_backward"
    r"|reflection_pad\dd_backward|nll_loss|ctc_loss|_embedding_bag|^put_$|histc|bincount"
    r"|^median|^nanmedian|grid_sampler.*_backward|scatter_reduce|kthvalue"
)


class Seen(TorchDispatchMode):
    """Collects the names of all operators, those of backward passes included."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        self.names.add(function.overloadpacket.__name__)
        return function(*arguments, **(keywords or {}))


def test_a_training_step_has_a_deterministic_form_of_every_operator(case, bench):
    learner = bench.learner
    learner.model.train()
    bench.family.epoch_begins(bench.trial.recipe.epochs)  # when all of the loss's terms are there
    with deterministic(True, case.name), Seen() as seen:
        loss, flags, _ = learner.guard(bench.batch("train", [0, 1]), 1.0, Wishes())
        learner.guard.backward(loss, flags)
        learner.optimizer.step()
    assert any("backward" in name for name in seen.names)
    assert not [name for name in seen.names if REFUSED.search(name)]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.nn.functional.avg_pool3d(x, 2),
        lambda x: torch.nn.functional.interpolate(x, scale_factor=2, mode="trilinear"),
    ],
)
def test_what_torch_cannot_do_would_be_noticed(function):
    with Seen() as seen:
        function(torch.ones(1, 1, 2, 2, 2, requires_grad=True)).sum().backward()
    assert [name for name in seen.names if REFUSED.search(name)]
