"""The loss terms between volumes, and that a weight of 0 costs nothing."""

from __future__ import annotations

import logging

import pytest
import torch
from pydantic import ValidationError

from models.blocks.direct import losses
from models.blocks.direct.losses import VolumeLoss, VolumeLossSettings, edge_error
from models.blocks.images.volume_metrics import similarity
from protocol.errors import SettingsError
from tests.unit.models.blocks.direct.vgg import write_vgg

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


def test_terms_are_in_single_precision_under_mixed_precision(pair):
    result, target = pair
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = VolumeLoss(only(l1_weight=1.0, ssim_weight=1.0)).terms(result, target, SEEDS)
    full = VolumeLoss(only(l1_weight=1.0, ssim_weight=1.0)).terms(result, target, SEEDS)
    assert all(torch.equal(mixed[name], full[name]) for name in full)
