"""What every family promises of its program: the family's own result, alike every time."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import default_collate

from data.lodopab.dataset import LodopabDataset
from models.family import Family
from models.program import BrainProgram, Program, SinogramProgram, XraysProgram
from protocol.errors import SettingsError
from tests.torch_alone import run_with_torch_alone
from worker.calls.show import load_model
from worker.exporting import graphs
from worker.exporting.graphs import differs
from worker.exporting.standalone import write_program

SLOW = ("ddpm2d_patched", "diffx2ct", "refine256")  # to be traced


@pytest.fixture
def opened(case, trained) -> tuple[Family[Any, Any], nn.Module]:
    """The trained family and its model."""
    return load_model(trained.folder.best)


@pytest.fixture
def program(case, opened) -> Program:
    """Its program; a family from outside the project makes no predictions by itself."""
    family, model = opened
    if case.plugged:
        with pytest.raises(SettingsError, match="makes no predictions"):
            family.program(model)
        pytest.skip("makes no predictions")
    return family.program(model)


def _given(family: Family[Any, Any], program: Program) -> tuple[Tensor, ...]:
    """Two prepared inputs of the test split."""
    if isinstance(program, SinogramProgram):
        scans = LodopabDataset(family.data, "test")
        return (torch.stack([torch.as_tensor(scans.sinogram(index)) for index in range(2)]),)
    batch = default_collate([family.dataset("test")[index] for index in range(2)])
    if isinstance(program, BrainProgram):
        return batch["image"], batch["mask"].float()
    return (batch.get("xrays", torch.rand(2, *program.inputs[0].shape)),)


@torch.no_grad()
def _own(family: Family[Any, Any], model: nn.Module, given: tuple[Tensor, ...]) -> Tensor:
    """The family's own reconstruction of the first sample."""
    if "fbp" in (sample := family.dataset("test")[0]):
        return model(torch.as_tensor(sample["fbp"])[None])
    if "sinogram" in sample:
        return model(given[0][:1])
    if "xrays" in sample or "coarse" in sample:
        return torch.from_numpy(family.infer(model, given[0][0]).hu)[None]
    seeds = torch.zeros(1, dtype=torch.int64)
    image, mask = (tensor[:1] for tensor in given)
    return family.reconstruct(model, image, mask, seeds, family.timesteps)


def _as_user_files(given: tuple[Tensor, ...], folder: Path) -> list[str]:
    names = [str(folder / f"given_{number}.npy") for number in range(len(given))]
    for name, values in zip(names, given, strict=True):
        np.save(name, values.numpy())
    return names


def _equal(found: Tensor, expected: Tensor, tolerance: float) -> None:
    """Within a share of the expected range, which is some range."""
    assert found.shape == expected.shape
    assert float(expected.max() - expected.min()) > 1e-3 * float(expected.abs().max())
    assert differs(found, expected) <= tolerance


def test_the_exported_folder_predicts_what_the_program_does(
    case, opened, program, tmp_path, monkeypatch, request
):
    """Of prepared inputs of the data set, by predict.py and a batch of another size."""
    if case.name in SLOW and not request.config.getoption("--long"):
        pytest.skip("only with --long")
    monkeypatch.setattr(graphs, "NEEDED", ("no_such_package",))
    answer = write_program(program, opened[0].data, tmp_path)
    assert answer["differences"].keys() == {"model.pt2"}, answer["missing"]
    assert answer["missing"].keys() == {"model.onnx"}
    given = tuple(tensor[:1] for tensor in _given(opened[0], program))
    with torch.no_grad():
        (expected,) = program(*given)
    files = _as_user_files(given, tmp_path)
    monkeypatch.setattr(sys, "argv", ["predict.py", *files, str(tmp_path / "out.npy")])
    runpy.run_path(str(tmp_path / "predict.py"), run_name="__main__")
    _equal(torch.from_numpy(np.load(tmp_path / "out.npy")), expected, 1e-5)


@pytest.mark.long
def test_the_onnx_graph_predicts_the_same(opened, program, tmp_path, monkeypatch):
    answer = write_program(program, opened[0].data, tmp_path)
    assert answer["differences"].keys() == {"model.pt2", "model.onnx"}, answer["missing"]
    given = tuple(tensor[:1] for tensor in _given(opened[0], program))
    with torch.no_grad():
        (expected,) = program(*given)
    files = _as_user_files(given, tmp_path)
    monkeypatch.setattr(sys, "argv", ["predict.py", "--onnx", *files, str(tmp_path / "out.npy")])
    runpy.run_path(str(tmp_path / "predict.py"), run_name="__main__")
    _equal(torch.from_numpy(np.load(tmp_path / "out.npy")), expected, 1e-4)


@pytest.mark.long
def test_it_checks_itself_where_torch_alone_is(opened, program, tmp_path):
    write_program(program, opened[0].data, tmp_path / "model")
    code, output = run_with_torch_alone(tmp_path, tmp_path / "model" / "predict.py", "--check")
    assert (code, output.startswith("the output is the stored one")) == (0, True), output


def test_a_program_gives_the_familys_own_result_of_the_declared_shape(opened, program):
    family, model = opened
    given = _given(family, program)
    with torch.no_grad():
        (found,) = program(*given)
        (again,) = program(*(tensor[:1] for tensor in given))
    assert [tuple(tensor.shape[1:]) for tensor in given] == [p.shape for p in program.inputs]
    (port,) = program.outputs
    assert tuple(found.shape[1:]) == port.shape
    assert found.dtype == torch.float32
    assert torch.isfinite(found).all()
    expected = _own(family, model, given)
    scale = float(expected.abs().max())
    assert scale > 0
    torch.testing.assert_close(again, expected, atol=1e-6 * scale, rtol=0)
    torch.testing.assert_close(found[:1], again, atol=1e-5 * scale, rtol=0)
    assert found.std() > 0
    if isinstance(program, XraysProgram):
        assert min(program.voxel_size) > 0
