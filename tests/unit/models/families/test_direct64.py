"""direct64: its recipe, its losses by name, its metrics in HU, and volumes from X-rays alone."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import default_collate

from models.blocks.images.volume_metrics import mae_hu, psnr
from models.families.direct64 import Direct64, Direct64Settings, multiscale_error
from models.registry import load_family
from orchestrator.settings.layers import Asked, load_settings
from orchestrator.settings.space import candidates
from protocol.errors import SettingsError
from protocol.recipe import TrainingRecipe
from tests.unit.models.blocks.direct.chests import RECIPE, data_section
from tests.unit.models.blocks.direct.vgg import write_vgg


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("direct64")


def family(folder, data=None, **settings):
    section = data_section(folder, **(data or {}))
    return Direct64(Direct64Settings(**(RECIPE | settings)), Direct64.Data(**section))


@pytest.fixture
def batch(folder):
    dataset = family(folder).dataset("train")
    return default_collate([dataset[index] for index in range(2)])


def test_it_is_found_by_its_name():
    assert load_family("direct64") is Direct64


def test_the_defaults_are_the_published_recipe():
    settings = Direct64Settings()
    weights = [settings.l1_weight, settings.ssim_weight, settings.perceptual_weight]
    assert weights == [1.0, 0.5, 0.1]
    assert (settings.edge_weight, settings.multiscale_weight) == (0.1, 0.3)
    assert (settings.width, settings.volume_width, settings.lift) == (64, 32, "mean")


def test_the_published_model_has_6_99_million_weights(tmp_path):
    published = Direct64(
        Direct64Settings(), Direct64.Data(root=tmp_path, ct_size=64, xray_size=512)
    )
    with torch.device("meta"):
        model = published.build_model()
    assert round(sum(weight.numel() for weight in model.parameters()) / 1e6, 2) == 6.99


def test_all_five_terms_are_told_by_name_and_a_weight_of_zero_leaves_one_out(
    folder, batch, tmp_path
):
    path = write_vgg(tmp_path / "vgg.pth")
    names = {"l1", "ssim", "edge", "perceptual", "multiscale"}
    model = family(folder).build_model()
    for left_out in (None, *names):
        changes = {} if left_out is None else {f"{left_out}_weight": 0.0}
        terms = family(folder, perceptual_weights_file=path, **changes).losses(model, batch)
        assert terms.keys() == names - {left_out}
        assert all(term.shape == () for term in terms.values())


def test_the_multiscale_error_compares_each_scale_with_the_target_averaged_to_it():
    target = torch.rand(2, 1, 8, 8, 8)
    coarse = [torch.nn.functional.avg_pool3d(target, factor) for factor in (4, 2)]
    assert multiscale_error(coarse, target).item() == pytest.approx(0, abs=1e-6)
    coarse[1] = coarse[1] + 0.2
    assert multiscale_error(coarse, target).item() == pytest.approx(0.1, rel=1e-4)


def test_metrics_are_those_of_the_finest_volume_with_the_windows_range(folder, batch):
    own = family(folder, data={"hu_window": (-200.0, 200.0)})
    model = own.build_model().eval()
    with torch.no_grad():
        found, result = own.evaluate(model, batch), model(batch["xrays"])[-1]
    torch.testing.assert_close(found["psnr"], psnr(result, batch["ct"]))
    torch.testing.assert_close(found["mae_hu"], mae_hu(result, batch["ct"], (-200.0, 200.0)))
    assert (found["mae_hu"] < 400).all()


def test_pictures_show_each_sample_in_three_planes(folder, batch):
    own = family(folder)
    with torch.no_grad():
        pictures = own.pictures(own.build_model().eval(), batch)
    assert len(pictures) == 2
    assert all(len(picture.panels) == 9 for picture in pictures)


def test_a_volume_of_xrays_alone_is_in_hounsfield_units_and_the_trainings_millimetres(folder):
    own = family(folder)
    model = own.build_model().eval()
    own.initialize(model)
    size = own.dataset("train").voxel_size(0)
    sample = own.dataset("test")[0]
    volume = own.infer(model, torch.as_tensor(sample["xrays"]))
    with torch.no_grad():
        result = model(torch.as_tensor(sample["xrays"])[None])[-1][0, 0].clamp(0, 1)
    torch.testing.assert_close(
        torch.from_numpy(volume.hu), -1024 + 2524 * result, rtol=1e-4, atol=0.5
    )
    assert volume.voxel_size == pytest.approx(size)
    assert own.infer(model, torch.rand(2, 70, 90)).hu.shape == (8, 8, 8)


def test_the_voxel_size_travels_with_the_weights_and_needs_no_data(folder, tmp_path):
    own = family(folder)
    model = own.build_model()
    own.initialize(model)
    elsewhere = family(tmp_path / "gone")
    other = elsewhere.build_model()
    other.load_state_dict(model.state_dict())
    found = elsewhere.infer(other.eval(), torch.rand(2, 32, 32)).voxel_size
    assert found == pytest.approx(own.dataset("train").voxel_size(0))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"ct_size": 10}, "^data.ct_size: found 10, expected a multiple of 4"),
        ({"ct_size": 4}, "^data.ct_size: found 4, expected a multiple of 4 from 8 on"),
        ({"xray_size": 16}, "^data.xray_size: found 16, expected 32 or more"),
    ],
)
def test_sizes_that_the_network_cannot_have_are_refused_before_a_study(folder, data, expected):
    with pytest.raises(SettingsError, match=expected):
        family(folder, data=data).check()


def test_a_wrong_file_of_weights_is_refused_before_a_study(folder, tmp_path):
    with pytest.raises(SettingsError, match="there is no file"):
        family(folder, perceptual_weights_file=tmp_path / "absent.pth").check()


@pytest.mark.parametrize("preset", ["direct64", "direct64_tiny"])
def test_its_presets_hold_values_that_it_takes(preset):
    settings, _ = load_settings(Asked(preset=preset))
    assert settings.family == "direct64"
    assert Direct64.metrics[settings.objective.metric] == settings.objective.direction
    Direct64.Data.model_validate(settings.data)
    training, own = TrainingRecipe.model_fields, Direct64Settings.model_fields
    for recipe in candidates(settings.search, settings.recipe):
        assert recipe.keys() <= training.keys() | own.keys()
        TrainingRecipe.model_validate({key: recipe[key] for key in recipe if key in training})
        Direct64Settings.model_validate({key: recipe[key] for key in recipe if key in own})


def test_every_scales_head_may_be_supervised_and_then_the_finest_one_learns_too(folder, batch):
    own = family(folder, supervised="every", l1_weight=0.0, ssim_weight=0.0, edge_weight=0.0)
    model = own.build_model()
    *coarse, result = model(batch["xrays"])
    assert [volume.shape[-1] for volume in coarse] == [2, 4, 8]
    assert result.shape == coarse[-1].shape
    own.losses(model, batch)["multiscale"].backward()
    assert model.finest_head.bias.grad.abs().max() > 0
    assert model.last[0].weight.grad is None
    assert family(folder).build_model().finest_head is None


def test_the_size_that_is_tried_first_has_what_its_document_asks_for(tmp_path):
    settings, _ = load_settings(Asked(preset="direct64"))
    first, second = settings.enqueue
    sizes = []
    for point in (first, second):
        own = {key: value for key, value in point.items() if key in Direct64Settings.model_fields}
        large = Direct64(
            Direct64Settings(**own), Direct64.Data(root=tmp_path, ct_size=64, xray_size=512)
        )
        with torch.device("meta"):
            model = large.build_model()
        sizes.append(sum(weight.numel() for weight in model.parameters()))
    assert 15e6 < sizes[0] < 20e6
    assert round(sizes[1] / 1e6, 2) == 6.99
