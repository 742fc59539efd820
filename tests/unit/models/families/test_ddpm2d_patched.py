from pathlib import Path

import pytest
import torch
import yaml
from pydantic import ValidationError
from torch import nn

from data.brain.dataset import BrainSettings
from models.blocks.diffusion.hashing import derived
from models.families.ddpm2d_patched import Ddpm2dPatched, Ddpm2dPatchedSettings
from models.registry import load_family
from protocol.errors import SettingsError
from protocol.recipe import own_keys

ROOT = Path(__file__).resolve().parents[4]

SIDE, BATCH = 24, 6
TINY = {"width": 8, "channel_multipliers": [1, 2], "residual_blocks": 1, "noise_frequency": 8}


def family(**settings):
    given = {**TINY, "box_size": 8, **settings}
    data = BrainSettings(root=Path("nowhere"), size=(SIDE, SIDE, 10))
    return Ddpm2dPatched(Ddpm2dPatchedSettings(**given), data)


@pytest.fixture(scope="module")
def batch():
    rows, columns = torch.arange(SIDE)[:, None], torch.arange(SIDE)
    brain = ((rows - 11.5) ** 2 + (columns - 12) ** 2 < 100).float().expand(BATCH, 1, SIDE, SIDE)
    texture = torch.rand(BATCH, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    seeds = torch.arange(10, 10 + BATCH)
    return {"image": texture * brain, "mask": brain, "seed": seeds, "index": seeds}


class Stub(nn.Module):
    """Answers as it is told to, and keeps what it was asked."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer
        self.asked = []

    def forward(self, noisy, timesteps, image):
        self.asked.append((noisy, timesteps, image))
        return self.answer(noisy, image)


def trained(made, batch, stub, t=700):
    timesteps = torch.full((BATCH,), t)
    return made.training_pair(stub, batch["image"], batch["mask"], batch["seed"], timesteps)


def reconstructed(made, model, batch, timesteps=(400,)):
    return made.reconstruct(model, batch["image"], batch["mask"], batch["seed"], timesteps)


def zeros(noisy, image):
    return torch.zeros_like(noisy)


def box_of(mask):
    """Height, width and pixels of what is marked in (1, H, W)."""
    found = mask[0].nonzero()
    return (*(found.max(dim=0).values - found.min(dim=0).values + 1).tolist(), len(found))


def test_it_is_found_by_its_name():
    assert load_family("ddpm2d_patched") is Ddpm2dPatched


def test_the_defaults_are_the_published_recipe():
    settings = Ddpm2dPatchedSettings()
    assert (settings.box_size, settings.boxes, settings.box_overlap) == (48, "grid", 0)
    assert (settings.encoder, settings.prediction, settings.loss) == ("none", "x0", "l1")
    assert (settings.masking, settings.masked_patches) == ("none", 5)
    assert (settings.masked_band_low, settings.masked_band_high) == (2, 10)


@pytest.mark.parametrize("boxes", ["grid", "random"])
def test_noise_is_inside_one_box_and_the_rest_is_the_clean_slice(batch, boxes):
    stub = Stub(zeros)
    trained(family(boxes=boxes), batch, stub)
    noisy, _, given = stub.asked[0]
    assert torch.equal(given, batch["image"])
    differs = noisy != 2 * batch["image"] - 1
    assert [box_of(one) for one in differs] == [(8, 8, 64)] * BATCH
    corners = {tuple(one[0].nonzero().min(dim=0).values.tolist()) for one in differs}
    on_grid = all(side % 8 == 0 for corner in corners for side in corner)
    assert on_grid == (boxes == "grid")
    assert len(corners) > 1


@pytest.mark.parametrize("prediction", ["x0", "epsilon"])
def test_only_the_box_counts_and_is_averaged_over_the_slice(batch, prediction):
    made = family(prediction=prediction)
    stub = Stub(lambda noisy, image: torch.full_like(noisy, 3.0))
    output, target = trained(made, batch, stub)
    box = stub.asked[0][0] != 2 * batch["image"] - 1
    noise = made.noise(batch["image"], batch["seed"])
    truth = 2 * batch["image"] - 1 if prediction == "x0" else noise
    torch.testing.assert_close(target, truth)
    assert (output[box] == 3).all()
    assert torch.equal(output[~box], truth[~box])

    stub = Stub(zeros)
    found = made.losses(stub, batch)["l1"]
    box = stub.asked[0][0] != 2 * batch["image"] - 1
    torch.testing.assert_close(found, (truth.abs() * box).mean())


def test_p2_weights_are_applied(batch):
    stub = Stub(zeros)
    plain = family().losses(stub, batch)["l1"]
    weighted = family(p2_gamma=1.0).losses(stub, batch)["l1"]
    assert weighted < plain


@pytest.mark.parametrize("overlap", [0.0, 0.4])
def test_each_box_of_the_result_comes_from_the_slice_that_was_noised_there(batch, overlap):
    def mark(noisy, image):
        return torch.where(noisy == 2 * image - 1, -1.0, 0.5)  # −1 where nothing was noised

    found = reconstructed(family(box_overlap=overlap), Stub(mark), batch)
    torch.testing.assert_close(found, torch.full_like(found, 0.75))


@pytest.mark.parametrize("box_overlap", [0.0, 0.5])
@pytest.mark.parametrize("box_size", [8, 11, 24])
def test_a_model_that_restores_the_slice_gives_back_the_slice(batch, box_size, box_overlap):
    made = family(box_size=box_size, box_overlap=box_overlap)
    found = reconstructed(made, Stub(lambda noisy, image: 2 * image - 1), batch)
    torch.testing.assert_close(found, batch["image"])


def test_a_model_that_knows_the_noise_gives_back_the_slice(batch):
    made = family(prediction="epsilon")
    noise = made.noise(batch["image"], derived(batch["seed"], 400))
    stub = Stub(lambda noisy, image: noise.repeat(len(noisy) // BATCH, 1, 1, 1))
    found = reconstructed(made, stub, batch)
    torch.testing.assert_close(found, batch["image"], rtol=1e-3, atol=1e-4)


def test_overlapping_boxes_are_averaged(batch):
    answers = iter([0.0, 1.0, 0.0, 1.0])

    def one_value_for_each_box(noisy, image):
        boxes = len(noisy) // BATCH
        values = torch.tensor([next(answers) for _ in range(boxes)]).repeat_interleave(BATCH)
        return values[:, None, None, None].expand_as(noisy)

    found = reconstructed(family(box_size=16, box_overlap=0.5), Stub(one_value_for_each_box), batch)
    # Two boxes a side, columns 8 to 15 shared; 0 and 1 of [−1, 1] are 0.5 and 1 of [0, 1].
    expected = torch.tensor([0.5] * 8 + [0.75] * 8 + [1.0] * 8)
    torch.testing.assert_close(found, expected.expand_as(found))


def test_a_large_batch_goes_through_in_parts(batch):
    made = family(box_size=3)  # 64 boxes
    stub = Stub(zeros)
    reconstructed(made, stub, batch)
    assert sum(len(noisy) for noisy, _, _ in stub.asked) == 64 * BATCH
    assert max(len(noisy) for noisy, _, _ in stub.asked) <= 64


@pytest.mark.parametrize("settings", [{}, {"masking": "frequency", "boxes": "random"}])
def test_a_slice_neither_trains_nor_is_restored_otherwise_in_company(batch, settings):
    made = family(**settings)
    torch.manual_seed(0)
    model = made.build_model().eval()
    nn.init.normal_(model.unet.conv_out.weight, std=0.1)
    together = made.losses(model, batch)["l1"]
    singles = [{key: value[[one]] for key, value in batch.items()} for one in range(BATCH)]
    with torch.no_grad():
        alone = torch.stack([made.losses(model, single)["l1"] for single in singles])
        torch.testing.assert_close(together, alone.mean(), rtol=1e-4, atol=1e-5)
        whole = reconstructed(made, model, batch, (200, 600))
        parts = [reconstructed(made, model, single, (200, 600)) for single in singles]
    torch.testing.assert_close(whole, torch.cat(parts), rtol=1e-4, atol=1e-5)


def test_frequency_masks_change_what_the_model_is_given_but_not_what_it_should_say(batch):
    stub = Stub(zeros)
    _, target = trained(family(masking="frequency"), batch, stub)
    noisy, _, given = stub.asked[0]
    assert torch.equal(target, 2 * batch["image"] - 1)
    changed = (given != batch["image"]).flatten(1).any(dim=1)
    assert 0 < changed.sum() <= BATCH
    # The model meets the same patches in the slice it restores and in the one that guides it.
    differs = noisy != 2 * given - 1
    assert [box_of(one) for one in differs] == [(8, 8, 64)] * BATCH


def test_a_reconstruction_masks_no_frequencies(batch):
    plain, masked = Stub(zeros), Stub(zeros)
    reconstructed(family(), plain, batch)
    reconstructed(family(masking="frequency"), masked, batch)
    assert torch.equal(plain.asked[0][0], masked.asked[0][0])


def test_how_slices_are_masked_follows_the_settings(batch):
    stub = Stub(zeros)
    trained(family(masking="frequency", masked_patches=0), batch, stub)
    assert torch.equal(stub.asked[0][2], batch["image"])
    made = family(masked_band_low=4, masked_band_high=6, masked_patches=3)
    assert (made.masks.lowest_band, made.masks.highest_band, made.masks.patches) == (4, 6, 3)


def test_a_box_larger_than_the_slices_is_refused_before_training():
    with pytest.raises(SettingsError, match="box_size: found 25, expected at most 24"):
        family(box_size=25).dataset("train")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"masked_band_high": 1}, "2 or more, the value of masked_band_low"),
        ({"masked_band_low": 11}, "11 or more, the value of masked_band_low"),
        ({"box_overlap": 1.0}, "less than 1"),
        ({"boxes": "everywhere"}, "grid"),
        ({"box": 48}, "box"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong, told):
    with pytest.raises(ValidationError, match=told):
        Ddpm2dPatchedSettings(**wrong)


def test_every_metric_and_a_picture_come_out_for_every_sample(batch):
    made = family()
    model = made.build_model().eval()
    with torch.no_grad():
        found = made.evaluate(model, batch)
        pictures = made.pictures(model, batch)
    assert found.keys() == made.metrics.keys()
    assert all(values.shape == (BATCH,) and values.isfinite().all() for values in found.values())
    assert len({picture.name for picture in pictures}) == BATCH


@pytest.mark.parametrize("preset", ["ddpm2d_patched", "ddpm2d_patched_tiny"])
def test_what_a_preset_tries_first_is_a_recipe_within_its_search(preset):
    study = yaml.safe_load((ROOT / "studies" / f"{preset}.yml").read_text())
    assert study["enqueue"]
    for first in study["enqueue"]:
        own = own_keys(study["recipe"] | first)
        Ddpm2dPatchedSettings(**own)
        for name, value in first.items():
            space = study["search"][name]
            if "choices" in space:
                assert value in space["choices"]
            else:
                assert space["low"] <= value <= space["high"]


def test_the_full_preset_tries_the_published_recipes_first():
    study = yaml.safe_load((ROOT / "studies" / "ddpm2d_patched.yml").read_text())
    published, masked = (
        Ddpm2dPatchedSettings(**own_keys(study["recipe"] | first)) for first in study["enqueue"]
    )
    plain = Ddpm2dPatchedSettings(noise_std=0.59, masked_places="published")
    assert published == plain
    assert masked == plain.model_copy(update={"masking": "frequency"})
