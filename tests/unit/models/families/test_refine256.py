"""refine256: where it starts, what it is compared with, and the chain from X-rays to its volume."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from torch.utils.data import default_collate

from models.blocks.direct.parent import load_parent
from models.blocks.direct.refiner import trilinear
from models.blocks.images.volume_metrics import psnr
from models.families.refine256 import Refine256, Refine256Settings
from models.registry import load_family
from orchestrator.settings.layers import Asked, load_settings
from orchestrator.settings.space import candidates
from protocol.errors import SettingsError
from protocol.recipe import TrainingRecipe
from tests.unit.models.blocks.direct.chests import (
    FINE,
    data_section,
    write_parent,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("refine256")
    write_parent(folder / "best.pth", folder)
    return folder


def family(folder, data=None, **settings):
    section = data_section(folder, ct_size=FINE, **(data or {}))
    recipe = {"width": 4, "blocks": 1, "parent_file": folder / "best.pth"} | settings
    return Refine256(Refine256Settings(**recipe), Refine256.Data(**section))


@pytest.fixture
def batch(folder):
    dataset = family(folder).dataset("train")
    return default_collate([dataset[index] for index in range(2)])


def test_it_is_found_by_its_name():
    assert load_family("refine256") is Refine256


def test_the_defaults_are_the_published_recipe():
    settings = Refine256Settings()
    weights = [settings.l1_weight, settings.perceptual_weight, settings.edge_weight]
    assert weights == [1.0, 0.1, 0.1]
    assert (settings.ssim_weight, settings.source) == (0.0, "parent")


def test_the_untrained_model_scores_exactly_as_the_trilinear_baseline(folder, batch):
    own = family(folder)
    with torch.no_grad():
        found = own.evaluate(own.build_model().eval(), batch)
    expected = psnr(trilinear(batch["coarse"]), batch["ct"])
    assert torch.equal(found["psnr"], expected)
    assert torch.equal(found["psnr_trilinear"], expected)
    assert (found["psnr_gain"] == 0).all()


def test_a_step_betters_the_baseline_which_stays_what_it_was(folder, batch):
    own = family(folder)
    model = own.build_model()
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    before = own.evaluate(model, batch)
    for _ in range(8):
        optimizer.zero_grad()
        terms = own.losses(model, batch)
        assert terms.keys() == {"l1", "edge"}
        sum(terms.values()).backward()
        optimizer.step()
    after = own.evaluate(model, batch)
    assert torch.equal(after["psnr_trilinear"], before["psnr_trilinear"])
    assert (after["psnr_gain"] > 0.2).all()
    torch.testing.assert_close(after["psnr_gain"], after["psnr"] - after["psnr_trilinear"])


def test_what_it_refines_is_what_the_parent_makes_of_the_samples_xrays(folder):
    own = family(folder)
    sample = own.dataset("validation")[1]
    parent = load_parent(folder / "best.pth", None)
    xrays = family(folder, source="downsampled").dataset("validation")._volumes[1]["xrays"]
    np.testing.assert_array_equal(sample["coarse"], parent.compute(xrays[None])[0])


def test_a_volume_of_xrays_alone_goes_through_both_models(folder):
    own = family(folder)
    model = own.build_model().eval()
    own.initialize(model)
    torch.nn.init.normal_(model.last.weight, std=0.1)
    xrays = torch.rand(2, 32, 32)
    volume = own.infer(model, xrays)
    coarse = load_parent(folder / "best.pth", None).compute(xrays[None].numpy())
    with torch.no_grad():
        expected = model(torch.from_numpy(coarse))[0, 0].clamp(0, 1)
    np.testing.assert_allclose(volume.hu, -1024 + 2524 * expected.numpy(), atol=0.5)
    assert volume.voxel_size == pytest.approx(own.dataset("train").voxel_size(0))
    assert own.infer(model, torch.rand(2, 50, 60)).hu.shape == (FINE, FINE, FINE)


def test_without_a_parent_it_says_how_to_name_one(folder):
    own = family(folder, parent_file=None)
    for ask in (own.check, lambda: own.dataset("train")):
        with pytest.raises(SettingsError, match="found none, expected the checkpoint") as caught:
            ask()
        assert "`parent: {study: NAME, trial: best}`" in str(caught.value)


def test_a_parent_that_has_changed_is_refused_before_a_study(folder, tmp_path):
    digest = hashlib.sha256((folder / "best.pth").read_bytes()).hexdigest()
    family(folder, parent_sha256=digest).check()
    other = write_parent(tmp_path / "best.pth", folder, epoch=2)
    with pytest.raises(SettingsError, match=r"^recipe.parent_sha256: .* put the file back"):
        family(folder, parent_file=other, parent_sha256=digest).check()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"ct_size": 64}, "^data.ct_size: found 64, expected 32, as the parent"),
        ({"xray_size": 48}, "^data.xray_size: found 48, expected 32"),
        ({"hu_window": (-200.0, 200.0)}, "^data.hu_window: found"),
    ],
)
def test_data_that_the_parents_volumes_do_not_belong_to_are_refused(folder, data, expected):
    section = data_section(folder, **({"ct_size": FINE} | data))
    own = Refine256(Refine256Settings(parent_file=folder / "best.pth"), Refine256.Data(**section))
    for ask in (own.check, lambda: own.dataset("train")):
        with pytest.raises(SettingsError, match=expected):
            ask()


def test_super_resolution_alone_needs_no_parent_and_makes_no_volume_of_xrays(folder):
    own = family(folder, parent_file=None, source="downsampled")
    own.check()
    sample = own.dataset("train")[0]
    pooled = torch.nn.functional.avg_pool3d(torch.as_tensor(sample["ct"])[None], 4)[0]
    np.testing.assert_allclose(sample["coarse"], pooled.numpy(), atol=1e-6)
    with pytest.raises(
        SettingsError, match=r"^recipe.source: this trial refines downsampled volumes"
    ):
        own.infer(own.build_model(), torch.rand(2, 32, 32))


def test_pictures_show_the_baseline_beside_the_result(folder, batch):
    own = family(folder)
    with torch.no_grad():
        first, _ = own.pictures(own.build_model().eval(), batch)
    titles = [panel.title for panel in first.panels[:4]]
    assert titles == ["Target, axial", "Trilinear, axial", "Result, axial", "Result − target, HU"]


@pytest.mark.parametrize("preset", ["refine256", "refine256_tiny"])
def test_its_presets_hold_values_that_it_takes_and_name_a_parent(preset):
    settings, _ = load_settings(Asked(preset=preset))
    assert settings.family == "refine256"
    assert settings.parent is not None
    assert settings.parent.trial == "best"
    assert Refine256.metrics[settings.objective.metric] == settings.objective.direction
    data = Refine256.Data.model_validate(settings.data)
    parent, _ = load_settings(Asked(preset=preset.replace("refine256", "direct64")))
    assert data.ct_size == 4 * parent.data["ct_size"]
    assert data.xray_size == parent.data["xray_size"]
    training, own = TrainingRecipe.model_fields, Refine256Settings.model_fields
    for recipe in candidates(settings.search, settings.recipe):
        assert recipe.keys() <= training.keys() | own.keys()
        Refine256Settings.model_validate({key: recipe[key] for key in recipe if key in own})
