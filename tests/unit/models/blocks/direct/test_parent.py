"""The parent's checkpoint: opened as it was trained, refused in a sentence if it is another."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch

from models.blocks.direct.parent import load_parent
from models.registry import load_family
from protocol.errors import SettingsError
from tests.unit.models.blocks.direct.chests import COARSE, XRAY, write_parent


@pytest.fixture(scope="module")
def parent_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parent")
    return write_parent(folder / "best.pth", folder)


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_it_gives_the_volumes_of_its_model_within_the_window(parent_file):
    parent = load_parent(parent_file, None)
    content = torch.load(parent_file, weights_only=True)["content"]
    family = load_family("direct64")
    kept = {key: content["recipe"][key] for key in ("width", "volume_width", "lift")}
    own = family(family.Settings(**kept), family.Data(**content["data"]))
    model = own.build_model()
    model.load_state_dict(content["model"])
    xrays = np.random.default_rng(0).random((2, 2, XRAY, XRAY), dtype=np.float32)
    with torch.no_grad():
        expected = model.eval()(torch.from_numpy(xrays))[-1].clamp(0, 1)
    found = parent.compute(xrays)
    assert found.shape == (2, 1, COARSE, COARSE, COARSE)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)
    assert parent.data.ct_size == COARSE


def test_it_is_frozen_and_a_volume_does_not_depend_on_its_neighbours(parent_file):
    parent = load_parent(parent_file, None)
    assert not parent.model.training
    assert not any(weight.requires_grad for weight in parent.model.parameters())
    xrays = np.random.default_rng(0).random((3, 2, XRAY, XRAY), dtype=np.float32)
    np.testing.assert_array_equal(parent.compute(xrays)[1:2], parent.compute(xrays[1:2]))


def test_the_digest_is_that_of_the_file(parent_file):
    digest = sha256(parent_file)
    assert load_parent(parent_file, digest.upper()).sha256 == digest


def test_another_file_than_the_one_that_was_recorded_is_refused(parent_file):
    with pytest.raises(SettingsError, match="expected 000000000000…; put the file back") as caught:
        load_parent(parent_file, "0" * 64)
    assert sha256(parent_file)[:12] in str(caught.value)
    assert str(caught.value).startswith("recipe.parent_sha256: ")


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("absent", "No such file"),
        ("text", "damaged or no checkpoint"),
        ("half", "damaged or no checkpoint"),
        ("weights", "no checkpoint of a trial"),
        ("family", "of the family 'fbp_unet', expected 'direct64'"),
        ("keys", "of another version of direct64"),
        ("shapes", "of another version of direct64"),
    ],
)
def test_a_file_that_is_no_direct64_is_refused_in_a_sentence(tmp_path, parent_file, what, expected):
    path = tmp_path / "other.pth"
    if what == "text":
        path.write_text("not a checkpoint")
    if what == "half":
        path.write_bytes(parent_file.read_bytes()[:2000])
    if what == "weights":
        torch.save({"weight": torch.zeros(3)}, path)
    if what == "family":
        write_parent(path, tmp_path, family="fbp_unet")
    if what == "keys":
        write_parent(path, tmp_path, data={"root": "/nowhere", "voxels": 3})
    if what == "shapes":
        write_parent(path, tmp_path, recipe={"width": 8})
    with pytest.raises(SettingsError, match=expected) as caught:
        load_parent(path, None)
    assert str(caught.value).startswith(f"recipe.parent_file: {path}")
    assert "\n" not in str(caught.value)
