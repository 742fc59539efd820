"""Graphs are compared with the model before anybody gets them, and what fails says why."""

import pytest
import torch

from models.program import Core
from worker.exporting import graphs
from worker.exporting.graphs import differs, write_graphs


class Doubled(torch.nn.Module):
    def forward(self, image):
        return (2 * image,)


class Deciding(torch.nn.Module):
    def forward(self, image):
        return (image if image.sum() > 0 else -image,)


def core(module):
    return Core(module=module, inputs=("image",), examples=(torch.rand(2, 3),))


@pytest.fixture
def pt2_alone(monkeypatch):
    monkeypatch.setattr(graphs, "NEEDED", ("onnx_of_nobody", "another"))


def made(module, folder, *, off=0.0):
    given = core(module).examples
    return write_graphs(core(module), given, module(*given)[0] + off, folder)


def test_a_graph_is_of_any_batch_and_what_it_lacks_is_named(pt2_alone, tmp_path):
    given = core(Doubled()).examples
    differences, missing = write_graphs(core(Doubled()), given, 2 * given[0], tmp_path)
    assert differences == {"model.pt2": 0.0}
    sentence = "onnx_of_nobody and another not installed; scripts/setup.sh onnx does it"
    assert missing == {"model.onnx": sentence}
    loaded = torch.export.load(tmp_path / "model.pt2").module()
    assert torch.equal(loaded(torch.ones(5, 3))[0], torch.full((5, 3), 2.0))


def test_a_model_that_cannot_be_traced_says_so(tmp_path):
    differences, missing = made(Deciding(), tmp_path)
    assert differences == {}
    assert missing["model.pt2"].partition(":")[0].endswith("Error") or missing["model.pt2"]
    assert missing["model.onnx"] == "it is made of model.pt2"
    assert list(tmp_path.iterdir()) == []


def test_a_graph_that_computes_something_else_is_not_left(pt2_alone, tmp_path):
    given = core(Doubled()).examples
    other = 2 * given[0] + torch.tensor([0.0, 0.0, 1.0])
    differences, missing = write_graphs(core(Doubled()), given, other, tmp_path)
    assert differences == {}
    assert missing["model.pt2"].startswith("its output would differ by ")
    assert list(tmp_path.iterdir()) == []


def test_a_difference_is_a_share_of_the_range():
    expected = torch.tensor([-1000.0, 1000.0])
    assert differs(expected + 2, expected) == pytest.approx(1e-3)
    flat = torch.tensor([1000.0, 1001.0])  # which varies less than numbers of its size are known
    assert differs(flat + 1, flat) == pytest.approx(1 / 10.01)
    assert differs(torch.zeros(2), torch.zeros(2)) == 0
    assert not differs(expected * float("nan"), expected) <= 1
