import pickle

import numpy as np
import pytest
import torch

from data.brain.dataset import BrainSlices, BrainVolumes, available_folds
from protocol.errors import DataError


def looked_at(dataset, seed):
    torch.manual_seed(seed)
    return [dataset[index] for index in range(len(dataset))]


def test_a_sample_is_a_slice_in_0_to_1_that_is_dark_outside_its_mask(brain_settings):
    for split in ("train", "validation", "test"):
        dataset = BrainSlices(brain_settings(), split)
        for place, sample in enumerate(looked_at(dataset, 0)):
            assert sample["image"].shape == sample["mask"].shape == (1, 16, 16)
            assert sample["image"].dtype == sample["mask"].dtype == np.float32
            assert 0 <= sample["image"].min() < sample["image"].max() <= 1
            assert set(np.unique(sample["mask"])) <= {0.0, 1.0}
            assert sample["mask"].any()
            assert not sample["image"][sample["mask"] == 0].any()
            assert sample["index"] == place


def test_samples_are_collated_to_float32_and_int64(brain_settings):
    dataset = BrainSlices(brain_settings(), "train")
    batch = torch.utils.data.default_collate([dataset[0], dataset[1]])
    assert batch["image"].dtype == batch["mask"].dtype == torch.float32
    assert batch["seed"].dtype == batch["index"].dtype == torch.int64


def test_an_epoch_has_one_random_slice_of_every_volume(brain_settings):
    dataset = BrainSlices(brain_settings(), "train")
    assert len(dataset) == len(set(dataset.subjects)) == 3
    looks = [looked_at(dataset, seed) for seed in range(6)]
    for index in range(3):
        different = {samples[index]["image"].tobytes() for samples in looks}
        assert len(different) > 1
    assert len({samples[index]["seed"] for samples in looks for index in range(3)}) == 18


def test_the_slice_and_the_seed_follow_from_torchs_generator_alone(brain_settings):
    first = looked_at(BrainSlices(brain_settings(), "train"), 7)
    np.random.default_rng(1).random()
    again = looked_at(BrainSlices(brain_settings(), "train"), 7)
    for one, other in zip(first, again, strict=True):
        assert one["seed"] == other["seed"]
        assert np.array_equal(one["image"], other["image"])


def test_validation_and_test_have_every_slice_with_brain_and_nothing_random(brain_settings):
    for split in ("validation", "test"):
        dataset = BrainSlices(brain_settings(), split)
        volumes = list(BrainVolumes(brain_settings(), split, "healthy"))
        expected = [image for v in volumes for image in v.image[v.mask.mean(axis=(1, 2)) > 0.01]]
        found, again = looked_at(dataset, 0), looked_at(dataset, 1)
        assert len(found) == len(expected)
        for one, other, image in zip(found, again, expected, strict=True):
            assert one["seed"] == other["seed"]
            assert np.array_equal(one["image"][0], image)
            assert np.array_equal(other["image"][0], image)
        assert len({sample["seed"] for sample in found}) == len(found)


def test_a_slices_seed_does_not_depend_on_what_else_is_validated_on(brain_settings):
    every = BrainSlices(brain_settings(), "validation")
    some = BrainSlices(brain_settings(validation_slices=2), "validation")
    assert len(some) == 4
    seeds = {sample["image"].tobytes(): sample["seed"] for sample in looked_at(every, 0)}
    for sample in looked_at(some, 0):
        assert seeds[sample["image"].tobytes()] == sample["seed"]


def test_slices_with_too_little_brain_are_left_out(brain_settings):
    volumes = list(BrainVolumes(brain_settings(), "test", "healthy"))
    shares = sorted(share for v in volumes for share in v.mask.mean(axis=(1, 2)))
    limit = shares[len(shares) // 2]
    dataset = BrainSlices(brain_settings(smallest_brain=limit), "test")
    assert len(dataset) == sum(share >= limit for share in shares) < len(shares)
    with pytest.raises(DataError, match=r"no slice has 0\.99 or more of brain, the most is 0\."):
        BrainSlices(brain_settings(smallest_brain=0.99), "test")


def test_volumes_with_lesions_have_their_segmentation_inside_the_brain(brain_settings):
    names = []
    for split in ("validation", "test"):
        volumes = BrainVolumes(brain_settings(), split, "lesion")
        assert len(volumes) == len(list(volumes)) == 2
        for volume in volumes:
            assert volume.dataset == "Synthetic"
            assert volume.image.shape == volume.mask.shape == volume.segmentation.shape
            assert volume.image.shape == (8, 16, 16)
            assert volume.segmentation.dtype == volume.mask.dtype == bool
            assert volume.segmentation.any()
            assert not (volume.segmentation & ~volume.mask).any()
            assert volume.voxel_size == pytest.approx((12.5, 12, 12))
            names.append(volume.name)
    assert len(set(names)) == 4


def test_healthy_volumes_have_no_segmentation(brain_settings):
    volumes = BrainVolumes(brain_settings(), "test", "healthy")
    assert [volume.dataset for volume in volumes] == ["IXI", "IXI"]
    assert not any(volume.segmentation.any() for volume in volumes)


def test_a_lesion_is_brighter_in_t2_and_the_modes_show_the_same_place(brain_settings):
    t1 = BrainVolumes(brain_settings(mode="t1"), "test", "lesion")[0]
    t2 = BrainVolumes(brain_settings(mode="t2"), "test", "lesion")[0]
    assert np.array_equal(t1.segmentation, t2.segmentation)
    assert np.array_equal(t1.mask, t2.mask)
    # White matter, most of the brain, is bright in T1 and dark in T2.
    assert np.median(t1.image[t1.mask]) > np.median(t2.image[t2.mask])


def test_folds_validate_on_different_subjects_and_train_on_the_others(brain_settings):
    seen = []
    for fold in range(available_folds(brain_settings())):
        train = set(BrainSlices(brain_settings(fold=fold), "train").subjects)
        validation = set(BrainSlices(brain_settings(fold=fold), "validation").subjects)
        assert not train & validation
        seen.append((train, validation))
    assert len(seen) == 2
    assert not seen[0][1] & seen[1][1]
    assert seen[0][0] | seen[0][1] == seen[1][0] | seen[1][1]


def test_a_pickled_copy_reads_the_same(brain_settings):
    dataset = BrainSlices(brain_settings(), "validation")
    content = pickle.dumps(dataset)
    assert len(content) < 20_000
    assert np.array_equal(pickle.loads(content)[3]["image"], dataset[3]["image"])


def test_an_index_beyond_the_end_is_an_index_error(brain_settings):
    for dataset in (
        BrainSlices(brain_settings(), "train"),
        BrainVolumes(brain_settings(), "test", "lesion"),
    ):
        with pytest.raises(IndexError):
            dataset[len(dataset)]


def test_phantoms_are_made_where_they_are_asked_for(tmp_path, brain_settings):
    generate = {"shape": (16, 16, 8), "train": 1, "validation": 1, "test": 1, "lesions": 1}
    settings = brain_settings(
        root=tmp_path / "new", crop=(16, 16, 8), size=(8, 8, 4), generate=generate
    )
    assert available_folds(settings) == 2
    assert BrainSlices(settings, "train")[0]["image"].shape == (1, 8, 8)
