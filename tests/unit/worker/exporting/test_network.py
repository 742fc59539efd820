"""A bundle's network is run by MONAI's own workflow."""

import json
import shutil
import warnings

import numpy as np
import torch

from models.program import BrainProgram
from orchestrator.exporting.bundle import inference, metadata
from tests.exports import exported
from worker.exporting import graphs
from worker.exporting.standalone import NETWORK, write_program


class Halved(BrainProgram):
    def forward(self, slices, mask):
        return (slices / 2 * mask,)


class Settings:
    percentiles, crop, size, mode = (1.0, 99.0), (8, 6, 4), (8, 6, 4), "t2"


def test_monai_runs_every_file_of_a_folder_through_it(tmp_path, monkeypatch):
    import monai.bundle  # takes six seconds of every process of a test run

    monkeypatch.setattr(graphs, "NEEDED", ("no_such_package",))
    answer = write_program(Halved(8, 6).eval(), Settings(), tmp_path / "models")
    shutil.copy(NETWORK, tmp_path / "models")
    for folder in ("configs", "data"):
        (tmp_path / folder).mkdir()
    config = tmp_path / "configs" / "inference.json"
    config.write_text(json.dumps(inference()))
    (tmp_path / "configs" / "metadata.json").write_text(json.dumps(metadata(exported(answer))))
    joined = np.random.default_rng(0).random((2, 2, 8, 6), dtype=np.float32)
    for name, sample in zip("ab", joined, strict=True):
        np.save(tmp_path / "data" / f"{name}.npy", sample)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        monai.bundle.run(config_file=str(config), bundle_root=str(tmp_path))
        workflow = monai.bundle.ConfigWorkflow(
            config_file=str(config), workflow_type="infer", bundle_root=str(tmp_path)
        )
        workflow.initialize()
    for name, (slices, mask) in zip("ab", joined, strict=True):
        found = np.load(tmp_path / "eval" / f"{name}.npy")
        np.testing.assert_allclose(found[0], slices / 2 * mask, rtol=1e-6)
    assert not workflow.check_properties()
    assert isinstance(workflow.network_def, torch.nn.Module)
    workflow.network_def.eval()
