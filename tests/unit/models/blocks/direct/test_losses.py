"""The loss terms between volumes, and that a weight of 0 costs nothing."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from scipy import ndimage

from data.xray_ct.dataset import XrayCtVolumes
from data.xray_ct.prepare.phantoms import XRAY_CT_PHANTOMS
from data.xray_ct.settings import XrayCtPhantomSettings, XrayCtSettings
from models.blocks.direct import losses
from models.blocks.direct.losses import VolumeLoss, VolumeLossSettings, edge_error
from models.blocks.direct.perceptual import TAPS, PerceptualLoss
from models.blocks.images.volume_metrics import similarity
from protocol.errors import SettingsError
from tests.unit.models.blocks.direct.vgg import random_features, write_vgg

SEEDS = torch.tensor([5, 6])
WEIGHTS = ("l1_weight", "ssim_weight", "edge_weight", "perceptual_weight")


@pytest.fixture
def pair():
    random = torch.Generator().manual_seed(2)
    return [torch.rand(2, 1, 12, 12, 12, generator=random) for _ in range(2)]


def only(**weights):
    return VolumeLossSettings(**(dict.fromkeys(WEIGHTS, 0.0) | weights))


def test_every_term_is_weighted_and_told_by_its_name(tmp_path, pair):
    result, target = pair
    path = write_vgg(tmp_path / "vgg.pth")
    found = VolumeLoss(VolumeLossSettings(perceptual_weights_file=path)).terms(*pair, SEEDS)
    assert found.keys() == {"l1", "ssim", "edge", "perceptual"}
    torch.testing.assert_close(found["l1"], (result - target).abs().mean())
    torch.testing.assert_close(found["ssim"], 0.5 * (1 - similarity(result, target)).mean())
    torch.testing.assert_close(found["edge"], 0.1 * edge_error(result, target))
    double = VolumeLoss(
        VolumeLossSettings(perceptual_weights_file=path, perceptual_weight=0.2)
    ).terms(*pair, SEEDS)
    torch.testing.assert_close(double["perceptual"], 2 * found["perceptual"])


@pytest.mark.parametrize("name", ["l1", "ssim", "edge"])
def test_a_term_of_weight_zero_is_not_computed(name, pair, monkeypatch):
    forbidden = {
        "l1": (losses.F, "l1_loss"),
        "ssim": (losses, "similarity"),
        "edge": (losses, "edge_error"),
    }

    def fail(*arguments):
        raise AssertionError("computed all the same")

    others = {f"{other}_weight": 1.0 for other in forbidden if other != name}
    monkeypatch.setattr(*forbidden[name], fail)
    found = VolumeLoss(only(**others)).terms(*pair, SEEDS)
    assert found.keys() == forbidden.keys() - {name}


def test_without_weight_the_file_of_the_perceptual_term_is_not_even_read(tmp_path, pair):
    settings = only(l1_weight=1.0, perceptual_weights_file=tmp_path / "absent.pth")
    loss = VolumeLoss(settings)
    loss.check()
    assert loss.terms(*pair, SEEDS).keys() == {"l1"}
    with pytest.raises(SettingsError, match="there is no file"):
        VolumeLoss(settings.model_copy(update={"perceptual_weight": 0.1})).check()


def test_without_a_file_the_perceptual_term_is_off_and_the_log_says_so_once(pair, caplog):
    loss = VolumeLoss(VolumeLossSettings())
    loss.check()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert "perceptual" not in loss.terms(*pair, SEEDS)
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "the perceptual term is off"
    ]


def test_a_perceptual_term_alone_needs_its_file():
    with pytest.raises(SettingsError, match=r"^recipe.perceptual_weights_file: found none"):
        VolumeLoss(only(perceptual_weight=1.0)).check()


def test_a_loss_without_any_term_is_refused():
    with pytest.raises(ValidationError, match="all weights of the loss are 0"):
        only()


def test_the_edge_error_is_the_difference_of_slopes_along_all_three_axes():
    places = torch.arange(6.0)
    flat = torch.zeros(1, 1, 6, 6, 6)
    for shape in ((1, 1, -1, 1, 1), (1, 1, 1, -1, 1), (1, 1, 1, 1, -1)):
        ramp = (0.3 * places).reshape(shape) + flat
        # A slope of 0.3 in one of three components.
        torch.testing.assert_close(edge_error(ramp, flat), torch.tensor(0.1))
    assert edge_error(flat + 0.5, flat).item() == pytest.approx(0, abs=1e-6)


@pytest.fixture(scope="module")
def chest(tmp_path_factory):
    """(1, 1, 64, 64, 64) in [0, 1]."""
    root = tmp_path_factory.mktemp("chests") / "set"
    sizes = {"size": 64, "xray_size": 16, "train": 1, "validation": 1, "test": 1}
    XRAY_CT_PHANTOMS.make(root, XrayCtPhantomSettings.model_validate(sizes))
    settings = XrayCtSettings(root=root, ct_size=64, xray_size=16, cache_gb=0)
    return torch.from_numpy(np.array(XrayCtVolumes(settings, "train")[0]["ct"]))[None]


def blurred(volume, voxels):
    return torch.from_numpy(ndimage.gaussian_filter(volume.numpy(), (0, 0, *[voxels] * 3)))


def published_edges(volume):
    """Magnitudes of the plain 2-D Sobel filters, axial slice by slice."""
    slices = volume[0].movedim(1, 0)
    across = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])[None, None]
    x, y = (F.conv2d(slices, taps, padding=1) for taps in (across, across.mT))
    return (x.square() + y.square() + 1e-8).sqrt()


def edge_factor(result, target):
    published = (published_edges(result) - published_edges(target)).abs().mean()
    return float(published / edge_error(result, target))


def test_the_published_edge_term_is_as_many_times_ours_as_the_presets_say(chest):
    random = torch.Generator().manual_seed(0)
    for size in (12, 24, 48):
        noise = [torch.rand(1, 1, size, size, size, generator=random) for _ in range(2)]
        assert 8.1 < edge_factor(*noise) < 8.8
    for voxels in (1.0, 2.0, 4.0):
        assert 13 < edge_factor(blurred(chest, voxels), chest) < 16


def published_dissimilarity(result, target):
    """1 − SSIM of the middle axial slice, by means over 11² pixels."""
    x, y = (volume[:, :, volume.shape[2] // 2] for volume in (result, target))

    def mean(image):
        return F.avg_pool2d(image, 11, stride=1, padding=5)

    covariance = mean(x * y) - mean(x) * mean(y)
    variances = mean(x * x + y * y) - mean(x).square() - mean(y).square()
    alike = (2 * mean(x) * mean(y) + 1e-4) * (2 * covariance + 9e-4)
    return 1 - (alike / ((mean(x).square() + mean(y).square() + 1e-4) * (variances + 9e-4))).mean()


def test_our_ssim_term_is_as_many_times_the_published_as_the_presets_say(chest):
    def factor(result):
        ours = 1 - similarity(result, chest).mean()
        return float(ours / published_dissimilarity(result, chest))

    assert factor(blurred(chest, 1.0)) == pytest.approx(2.0, abs=0.15)
    assert factor(torch.full_like(chest, 0.5)) == pytest.approx(1.0, abs=0.12)


def test_features_of_normalised_slices_differ_as_many_times_as_the_presets_say(tmp_path, chest):
    network = random_features().eval()
    slices = [volume[:, :, 32] for volume in (blurred(chest, 1.0), chest)]
    ours = PerceptualLoss(write_vgg(tmp_path / "vgg.pth"), "all")._error(*slices)
    plain = [image.repeat(1, 3, 1, 1) for image in slices]
    errors = []
    for number, layer in enumerate(network):
        plain = [layer(features) for features in plain]
        if number in TAPS:
            errors.append(F.l1_loss(*plain))
    assert float(ours / torch.stack(errors).mean()) == pytest.approx(4.4, rel=0.05)


def test_terms_are_in_single_precision_under_mixed_precision(pair):
    result, target = pair
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = VolumeLoss(only(l1_weight=1.0, ssim_weight=1.0)).terms(result, target, SEEDS)
    full = VolumeLoss(only(l1_weight=1.0, ssim_weight=1.0)).terms(result, target, SEEDS)
    assert all(torch.equal(mixed[name], full[name]) for name in full)
