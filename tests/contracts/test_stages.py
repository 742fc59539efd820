"""What every family promises whose models can be cut into stages."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from models.pipelined import PipelinedFamily
from protocol.errors import SettingsError
from tests.contracts.bench import SEED
from tests.contracts.cases import CASES, FAMILIES
from worker.pipeline.device_map import Mapped

CUT = [
    case
    for case in CASES
    if not case.plugged and "PipelinedFamily" in (FAMILIES / f"{case.name}.py").read_text()
]
pytestmark = pytest.mark.parametrize("case", CUT, indirect=True, ids=lambda case: case.name)

TOLERANCE = 1e-4  # of the gradient's length
TOO_MANY = 99


@pytest.fixture
def family(bench) -> PipelinedFamily:
    assert isinstance(bench.family, PipelinedFamily)
    return bench.family


def test_a_cut_models_pieces_compute_what_the_model_does(family, bench):
    batch = bench.batch("train", range(2))
    bench.step(batch)  # some models are constant before the first
    whole = bench.model.eval()
    for stages in range(2, _most(family, whole) + 1):
        mapped = Mapped(family, copy.deepcopy(whole), ["cpu"] * stages)
        runner = mapped.runner(mapped.model).eval()
        outputs = [model(*family.prepare(batch).inputs) for model in (whole, runner)]
        torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-5)
        expected, found = (_gradient(family, model, batch) for model in (whole, runner))
        assert expected.norm() > 0
        assert (found - expected).norm() < TOLERANCE * expected.norm()


def test_samples_prepare_alike_alone_and_together(family, bench):
    together = family.prepare(bench.batch("train", range(3)))
    for index in range(3):
        single = family.prepare(bench.batch("train", [index]))
        for one, of_three in zip(single.inputs, together.inputs, strict=True):
            assert torch.equal(one[0], of_three[index])
        assert single.targets.keys() == together.targets.keys()
        for name, target in single.targets.items():
            assert torch.equal(target[0], together.targets[name][index])


def test_the_loss_of_a_batch_is_the_mean_of_its_samples_losses(family, bench):
    batch = bench.batch("train", range(3))
    bench.model.eval()
    with torch.no_grad():
        together = family.losses(bench.model, batch)
        singles = [family.losses(bench.model, bench.batch("train", [index])) for index in range(3)]
    for name, term in together.items():
        mean = torch.stack([terms[name] for terms in singles]).mean()
        torch.testing.assert_close(term, mean, rtol=1e-4, atol=1e-6)


def test_more_stages_than_the_model_has_levels_are_refused_under_their_key(family, bench):
    with pytest.raises(SettingsError, match=r"^parallel.stages: "):
        family.segments(bench.model, TOO_MANY)


def _most(family: PipelinedFamily, model: torch.nn.Module) -> int:
    """How many stages the model can be cut into."""
    for stages in range(2, TOO_MANY):
        try:
            family.segments(model, stages)
        except SettingsError:
            return stages - 1
    raise AssertionError("it can be cut without end")


def _gradient(family: PipelinedFamily, model: torch.nn.Module, batch) -> Tensor:
    torch.manual_seed(SEED)
    model.zero_grad()
    torch.stack(list(family.losses(model, batch).values())).sum().backward()
    rows = [
        item.grad.flatten() if item.grad is not None else torch.zeros(item.numel())
        for item in model.parameters()
    ]
    return torch.cat(rows)
