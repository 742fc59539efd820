"""`export` where torch is: what can be made is written, and what cannot says why."""

import pytest
import torch
from safetensors.torch import load_file

from protocol.errors import CheckpointError, UserError
from tests.families.anomaly_toy import Blur
from worker.calls.export import export
from worker.training.checkpoint import save_checkpoint


def checkpoint(path, family, model, data, **recipe):
    content = {
        "model": model,
        "family": f"tests/families/{family}",
        "recipe": {"epochs": 2, "batch_size": 4, **recipe},
        "data": data,
        "seed": 5,
        "epoch": 2,
    }
    save_checkpoint(path, content)
    return str(path)


@pytest.fixture
def of_brains(tmp_path):
    """A family whose reconstruction draws its noise by Python's numbers."""

    def of_brains(**recipe):
        data = {"root": "none", "size": [16, 12, 8]}
        weights = Blur().state_dict()
        path = tmp_path / "best.pth"
        return checkpoint(path, "anomaly_toy.py:AnomalyToy", weights, data, **recipe)

    return of_brains


def test_a_family_without_a_program_leaves_its_weights(tmp_path):
    weights = {"factor": torch.tensor(0.5)}
    path = checkpoint(tmp_path / "best.pth", "volume_toy.py:VolumeToy", weights, {})
    answer = export(checkpoint=path, folder=str(tmp_path))
    assert answer["kind"] is None
    assert answer["parameters"] == 1
    assert answer["missing"].keys() == {"model.pt2", "model.onnx", "predict.py"}
    (reason,) = set(answer["missing"].values())
    assert reason.startswith("VolumeToy makes no predictions; expected")
    assert load_file(tmp_path / "model.safetensors")["factor"] == 0.5
    assert {file.name for file in tmp_path.iterdir()} == {"best.pth", "model.safetensors"}


def test_a_program_that_cannot_be_traced_is_told_and_leaves_no_script(of_brains, tmp_path):
    answer = export(checkpoint=of_brains(), folder=str(tmp_path))
    assert answer["kind"] == "brain"
    assert answer["inputs"][0]["shape"] == (1, 16, 12)
    assert answer["facts"]["percentiles"] == (1.0, 99.0)
    assert answer["missing"]["model.pt2"]
    assert answer["missing"]["predict.py"] == "it runs model.pt2 or model.onnx"
    assert {file.name for file in tmp_path.iterdir()} == {"best.pth", "model.safetensors"}


def test_a_model_that_makes_nan_is_refused(of_brains, tmp_path):
    with pytest.raises(UserError, match="NaN or infinite numbers, nothing was written"):
        export(checkpoint=of_brains(broken=True), folder=str(tmp_path))


def test_a_damaged_checkpoint_is_refused(of_brains, tmp_path):
    of_brains()
    (tmp_path / "best.pth").write_bytes(b"nothing of the kind")
    with pytest.raises(CheckpointError, match=r"best\.pth is damaged"):
        export(checkpoint=str(tmp_path / "best.pth"), folder=str(tmp_path))


def test_a_bundle_also_has_the_weights_as_monai_loads_them(of_brains, tmp_path):
    export(checkpoint=of_brains(), folder=str(tmp_path), bundle=True)
    found = torch.load(tmp_path / "model.pt", weights_only=True)
    kept = load_file(tmp_path / "model.safetensors")
    assert found.keys() == kept.keys() == Blur().state_dict().keys()
    assert all(torch.equal(found[name], kept[name]) for name in kept)
    assert (tmp_path / "network.py").is_file()
