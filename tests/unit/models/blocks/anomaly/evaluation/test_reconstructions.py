import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from models.blocks.anomaly.evaluation import reconstructions
from models.blocks.anomaly.evaluation.reconstructions import (
    Reconstructions,
    slice_seeds,
    volume_key,
)
from protocol.errors import DataError


class Counting:
    """A family that adds a hundredth of the time step, and counts what it is asked for."""

    def __init__(self):
        self.asked = []

    def reconstruct(self, model, image, mask, seeds, timesteps):
        self.asked.append((len(image), tuple(timesteps), seeds.tolist()))
        assert mask.any(dim=3).any(dim=2).all()
        return image + timesteps[0] / 100


@pytest.fixture
def family():
    return Counting()


def opened(family, store):
    return Reconstructions(family, torch.nn.Linear(1, 1), store)


def test_each_volume_and_time_step_is_reconstructed_once(family, volume, tmp_path):
    first = opened(family, tmp_path).of(volume, [10, 20])
    count = len(family.asked)
    again = opened(family, tmp_path).of(volume, [20, 10])
    assert len(family.asked) == count == 2
    assert np.array_equal(first, again)


def test_several_time_steps_are_averaged(family, volume, tmp_path):
    found = opened(family, tmp_path).of(volume, [10, 20, 60])
    assert found[2] == pytest.approx(volume.image[2] + 0.3, abs=1e-6)


def test_slices_without_brain_stay_as_they_are(family, volume, tmp_path):
    found = opened(family, tmp_path).of(volume, [10])
    assert np.array_equal(found[[0, 5]], volume.image[[0, 5]])
    assert (found[1:5] != volume.image[1:5]).all()


def test_a_slice_has_its_seed_however_slices_are_batched(volume, tmp_path, monkeypatch):
    seeds = []
    for size in (1, 3, 16):
        monkeypatch.setattr(reconstructions, "SLICES_AT_ONCE", size)
        family = Counting()
        opened(family, tmp_path / str(size)).of(volume, [10])
        seeds.append([seed for _, _, batch in family.asked for seed in batch])
    assert seeds[0] == seeds[1] == seeds[2] == slice_seeds("subject", 6)[1:5].tolist()


def test_seeds_differ_between_slices_and_between_subjects():
    seeds = {*slice_seeds("a", 50).tolist(), *slice_seeds("b", 50).tolist()}
    assert len(seeds) == 100
    assert min(seeds) >= 0


@pytest.mark.parametrize("damage", [b"", b"no array", None])
def test_a_damaged_file_is_made_anew(family, volume, tmp_path, damage):
    expected = opened(family, tmp_path).of(volume, [10])
    (file,) = tmp_path.glob("t0010/*.npy")
    file.write_bytes(file.read_bytes()[:-100] if damage is None else damage)
    assert np.array_equal(opened(family, tmp_path).of(volume, [10]), expected)
    assert len(family.asked) == 2


def test_another_image_or_mask_under_the_same_name_is_not_mistaken_for_the_first(volume):
    brighter = replace(volume, image=volume.image * np.float32(1.01))
    smaller = replace(volume, mask=np.roll(volume.mask, 1, axis=1))
    assert len({volume_key(v) for v in (volume, brighter, smaller)}) == 3
    assert volume_key(replace(volume, dataset="Other")) == volume_key(volume)


def test_a_diverged_model_is_told_by_volume_and_time_step(volume, tmp_path):
    class Diverged(Counting):
        def reconstruct(self, model, image, mask, seeds, timesteps):
            return image * float("nan")

    with pytest.raises(DataError, match=r"^subject: the reconstruction from time step 10 has NaN"):
        opened(Diverged(), tmp_path).of(volume, [10])
    assert not list(tmp_path.rglob("*.npy"))


def test_a_write_that_fails_leaves_nothing_behind(family, volume, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        opened(family, tmp_path).of(volume, [10])
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
