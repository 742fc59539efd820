import numpy as np
import pytest
import torch

from data.xray_ct.dataset import XrayCtVolumes
from models.blocks.xray_diffusion.patches import SplitPatches, volumes_of
from tests.small_diffx2ct import batch_of, small_data, small_family


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("patches")


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_held_out_patch_leads_to_the_volume_it_was_cut_from(folder, split):
    data = small_data(folder)
    patches = SplitPatches(data, split, 8, patches_per_volume=3)
    assert len(patches) == 6
    for index in range(len(patches)):
        torch.manual_seed(index)
        sample = patches[index]
        batch = {name: torch.as_tensor(np.asarray(value))[None] for name, value in sample.items()}
        (case,) = volumes_of(data, batch)
        d, h, w = sample["corner"]
        patch = case.ct[:, d : d + 8, h : h + 8, w : w + 8]
        assert torch.equal(patch, torch.as_tensor(sample["ct"]))
        assert torch.equal(case.xrays, torch.as_tensor(sample["xrays"]))
        assert case.name == XrayCtVolumes(data, split).name(index // 3)


def test_an_epoch_is_one_patch_of_every_training_volume(folder):
    patches = SplitPatches(small_data(folder), "train", 8, patches_per_volume=3)
    assert len(patches) == 3
    assert [patches[index]["case"] for index in range(3)] == [0, 1, 2]


def test_a_batch_may_mix_cases(folder):
    family = small_family(folder)
    batch = batch_of(family, "validation", 3, 0)
    names = [case.name for case in volumes_of(family.data, batch)]
    volumes = XrayCtVolumes(family.data, "validation")
    assert names == [volumes.name(1), volumes.name(0)]
