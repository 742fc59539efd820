"""The script of an exported folder, for torch alone: reading, refusing, checking itself."""

import json
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from data.brain.settings import BrainSettings
from models.program import BrainProgram, XraysProgram
from tests.torch_alone import run_with_torch_alone
from worker.exporting import graphs
from worker.exporting.standalone import write_program


class Halved(BrainProgram):
    def forward(self, slices, mask):
        return (slices / 2 * mask,)


class Stretched(XraysProgram):
    def forward(self, xrays):
        return (self.hounsfield(xrays.mean(dim=1)[:, None, None].expand(-1, -1, 8, -1, -1)),)


def exported(program, folder):
    """The folder, with a graph of torch's alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graphs, "NEEDED", ("no_such_package",))
        answer = write_program(program.eval(), BrainSettings(root=Path("data")), folder)
    assert answer["differences"].keys() == {"model.pt2"}, answer
    return folder


@pytest.fixture(scope="module")
def brain(tmp_path_factory):
    return exported(Halved(8, 6), tmp_path_factory.mktemp("brain") / "out")


@pytest.fixture(scope="module")
def xrays(tmp_path_factory):
    program = Stretched(
        xray_size=8, ct_size=8, voxel_size=torch.ones(3), hu_window=(-1000.0, 1000.0)
    )
    return exported(program, tmp_path_factory.mktemp("xrays") / "out")


@pytest.fixture
def run(monkeypatch, capsys):
    """The script in this process: its exit code or sentence, and what it printed."""

    def run(folder, *arguments):
        monkeypatch.setattr(sys, "argv", ["predict.py", *map(str, arguments)])
        try:
            runpy.run_path(str(folder / "predict.py"), run_name="__main__")
            code = 0
        except SystemExit as left:
            code = left.code
        return code, capsys.readouterr().out

    return run


def test_a_folder_checks_itself_where_there_is_torch_and_nothing_else(brain, tmp_path):
    given = np.zeros((9, 8, 6), np.float32)
    given[4, 2:5] = 0.5
    np.save(tmp_path / "slices.npy", given)
    np.save(tmp_path / "mask.npy", given > 0)
    files = [str(tmp_path / name) for name in ("slices.npy", "mask.npy", "out.npy")]
    script = str(brain / "predict.py")
    (tmp_path / "twice.py").write_text(
        "import runpy, sys\n"
        f"for sys.argv in {[[script, '--check'], [script, *files]]!r}:\n"
        "    runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    code, output = run_with_torch_alone(tmp_path, tmp_path / "twice.py")
    assert (code, output.count("\n")) == (0, 3), output
    assert output.startswith("the output is the stored one: it differs by ")
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy")[:, 0], given / 2)
    np.testing.assert_array_equal(np.load(tmp_path / "out_residual.npy")[:, 0], given / 2)
    for lacking in ("import numpy", "import worker"):
        (tmp_path / "lacking.py").write_text(lacking)
        code, output = run_with_torch_alone(tmp_path, tmp_path / "lacking.py")
        assert (code, "ModuleNotFoundError" in output) == (1, True)


def test_another_output_is_noticed(brain, tmp_path, run):
    folder = shutil.copytree(brain, tmp_path / "moved")
    stored = np.load(folder / "check" / "output.npy")
    np.save(folder / "check" / "output.npy", stored + 1e-4)
    sentence, told = run(folder, "--check")
    assert "differs by 0.000" in sentence
    assert told == ""
    np.save(folder / "check" / "output.npy", stored + np.nan)
    assert "differs by nan" in run(folder, "--check")[0]
    assert run(brain, "--check")[0] == 0


def test_intensities_are_taken_as_the_training_took_them(brain, tmp_path, run):
    rng = np.random.default_rng(0)
    volume, mask = rng.uniform(100, 900, (3, 8, 6)), np.zeros((3, 8, 6), np.uint8)
    mask[:, 2:7, 1:5] = 7
    np.save(tmp_path / "a.npy", np.asfortranarray(volume))
    np.save(tmp_path / "m.npy", mask)
    code, told = run(brain, tmp_path / "a.npy", tmp_path / "m.npy", tmp_path / "out.npy")
    assert code == 0
    low, high = np.percentile(volume[mask > 0], (1, 99))
    assert f"intensities {low:g} to"[:15] in told
    expected = np.clip((volume - low) / (high - low), 0, 1) * (mask > 0) / 2
    np.testing.assert_allclose(np.load(tmp_path / "out.npy")[:, 0], expected, atol=1e-6)


@pytest.mark.parametrize("dtype", ["?", "u1", "i1", "u2", "i2", "i4", "i8", "f2", "f4", "f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_files_are_read_without_numpy_as_numpy_does(brain, tmp_path, dtype, order):
    values = np.array(np.arange(24).reshape(2, 3, 4) % 7, dtype=dtype, order=order)
    np.save(tmp_path / "a.npy", values)
    engine = runpy.run_path(str(brain / "predict.py"))["Torch"]()
    found = engine.read(tmp_path / "a.npy")
    np.testing.assert_array_equal(found.numpy(), values)
    engine.write(tmp_path / "b.npy", found.float())
    again = np.load(tmp_path / "b.npy")
    assert again.dtype == np.float32
    np.testing.assert_array_equal(again, values.astype(np.float32))


def test_xrays_of_another_size_are_resampled(xrays, tmp_path, run):
    views = torch.rand(2, 24, 20)
    np.save(tmp_path / "views.npy", views.numpy())
    code, told = run(xrays, tmp_path / "views.npy", tmp_path / "ct.npy")
    assert (code, "volume (1, 8, 8, 8) in HU" in told) == (0, True)
    seen = torch.nn.functional.interpolate(views[None], (8, 8), mode="bilinear", antialias=True)
    expected = -1000 + 2000 * seen.mean(dim=1)[0]
    np.testing.assert_allclose(np.load(tmp_path / "ct.npy")[0, 3], expected, atol=1e-3)


def test_what_is_not_meant_is_refused_in_a_sentence(brain, xrays, tmp_path, run):
    np.save(tmp_path / "bright.npy", np.full((2, 8, 8), 255.0))
    sentence, _ = run(xrays, tmp_path / "bright.npy", tmp_path / "ct.npy")
    assert sentence.endswith("has values from 255 to 255, expected 0 to 1")
    np.save(tmp_path / "small.npy", np.zeros((3, 4, 6)))
    sentence, _ = run(brain, tmp_path / "small.npy", tmp_path / "small.npy", tmp_path / "o.npy")
    assert sentence.endswith("has the shape (3, 4, 6), expected (…, 8, 6)")
    sentence, _ = run(brain, "--check", "--onnx")
    assert sentence.startswith("there is no model.onnx: no_such_package not installed; ")
    assert run(brain, tmp_path / "small.npy")[0] == 2  # as argparse leaves
    assert not list(tmp_path.glob("o.npy")) + list(tmp_path.glob("ct.npy"))


def test_no_patient_is_in_the_folder(brain):
    """What is checked is drawn, so that a folder may be passed on."""
    spec = json.loads((brain / "program.json").read_text())
    given = [np.load(brain / "check" / f"{name}.npy") for name in spec["traced"]]
    assert [values.shape for values in given] == [(2, 1, 8, 6)] * 2
    again = [np.load(brain / "check" / f"{name}.npy") for name in ("slices", "mask")]
    assert set(np.unique(again[1])) == {0.0, 1.0}
    assert 0 <= again[0].min() < again[0].max() <= 1
