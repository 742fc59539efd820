import pickle

import h5py
import nibabel
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from data.xray_ct.dataset import XrayCtPatches, XrayCtVolumes, mirrored
from protocol.errors import SettingsError

SPLITS = {"train": 3, "validation": 1, "test": 2}


@pytest.fixture
def root(made_chests):
    return made_chests("x2ct_gan")


def test_samples_are_pairs_of_the_sizes_asked_for(root, chest_settings):
    for split, count in SPLITS.items():
        volumes = XrayCtVolumes(chest_settings(root, ct_size=8), split)
        assert len(volumes) == count
        sample = volumes[count - 1]
        assert set(sample) == {"xrays", "ct", "index", "seed"}
        assert sample["xrays"].shape == (2, 16, 16)
        assert sample["ct"].shape == (1, 8, 8, 8)
        for key in ("xrays", "ct"):
            assert sample[key].dtype == np.float32
            assert 0 <= sample[key].min() < sample[key].max() <= 1
        assert sample["index"] == count - 1


def test_names_and_voxel_sizes_are_those_of_the_cases(root, chest_settings):
    volumes = XrayCtVolumes(chest_settings(root), "validation")
    assert volumes.name(0) == "phantom0003"
    assert volumes.voxel_size(0) == pytest.approx((30.0, 30.0, 30.0))


def test_an_index_out_of_range_is_refused(root, chest_settings):
    volumes = XrayCtVolumes(chest_settings(root), "test")
    patches = XrayCtPatches(chest_settings(root), "test", 4)
    for dataset in (volumes, patches):
        for index in (-1, 2):
            with pytest.raises(IndexError):
                dataset[index]


def test_what_is_random_in_training_follows_from_the_global_generator_alone(root, chest_settings):
    datasets = [
        XrayCtVolumes(chest_settings(root, flip=True), "train"),
        XrayCtPatches(chest_settings(root, flip=True), "train", 5),
    ]
    for dataset in datasets:
        looks = []
        for seed in (1, 1, 2):
            torch.manual_seed(seed)
            looks.append(dataset[0])
        assert looks[0]["seed"] == looks[1]["seed"] != looks[2]["seed"]
        np.testing.assert_array_equal(looks[0]["ct"], looks[1]["ct"])


def test_what_is_not_trained_on_is_the_same_at_every_look_and_draws_nothing(root, chest_settings):
    settings = chest_settings(root, flip=True)
    for dataset in (
        XrayCtVolumes(settings, "test"),
        XrayCtPatches(settings, "test", 5, patches_per_volume=3),
    ):
        first = dataset[1]
        state = torch.get_rng_state()
        second = dataset[1]
        assert torch.equal(torch.get_rng_state(), state)
        for key, value in first.items():
            np.testing.assert_array_equal(value, second[key])
        assert first["seed"] != dataset[0]["seed"]


def test_a_flip_mirrors_the_volume_and_the_front_view_but_not_the_lateral_one(root, chest_settings):
    plain = XrayCtVolumes(chest_settings(root), "train")[0]
    flipping = XrayCtVolumes(chest_settings(root, flip=True), "train")
    seen = set()
    for seed in range(12):
        torch.manual_seed(seed)
        sample = flipping[0]
        flipped = not np.array_equal(sample["ct"], plain["ct"])
        step = -1 if flipped else 1
        np.testing.assert_array_equal(sample["ct"], plain["ct"][..., ::step])
        np.testing.assert_array_equal(sample["xrays"][0], plain["xrays"][0, :, ::step])
        np.testing.assert_array_equal(sample["xrays"][1], plain["xrays"][1])
        seen.add(flipped)
    assert seen == {True, False}


def test_a_mirrored_pair_is_what_the_mirrored_body_gives():
    from data.physics.radiograph import radiographs
    from data.xray_ct.prepare.thorax import draw_thorax

    hu = draw_thorax(0, 1, 16).hu
    xrays, volume = mirrored(radiographs(hu, (20.0,) * 3, 16), hu[None])
    expected = radiographs(np.ascontiguousarray(hu[..., ::-1]), (20.0,) * 3, 16)
    np.testing.assert_allclose(xrays, expected, atol=1e-5)
    np.testing.assert_array_equal(volume[0], hu[..., ::-1])


def test_a_patch_is_what_lies_at_its_corner(root, chest_settings):
    settings = chest_settings(root)
    whole = XrayCtVolumes(settings, "train")
    patches = XrayCtPatches(settings, "train", 5)
    corners = set()
    for seed in range(40):
        torch.manual_seed(seed)
        sample = patches[1]
        assert sample["ct"].shape == (1, 5, 5, 5)
        assert sample["corner"].dtype == sample["extent"].dtype == np.int64
        assert sample["extent"].tolist() == [12, 12, 12]
        d, h, w = sample["corner"]
        expected = whole[1]["ct"][:, d : d + 5, h : h + 5, w : w + 5]
        np.testing.assert_array_equal(sample["ct"], expected)
        corners.add((d, h, w))
    found = np.array(sorted(corners))
    assert len(corners) > 30
    assert (found.min(axis=0) == 0).all()
    assert (found.max(axis=0) == 7).all()


def test_volumes_that_are_not_trained_on_have_several_patches(root, chest_settings):
    patches = XrayCtPatches(chest_settings(root), "test", 5, patches_per_volume=3)
    assert len(patches) == 6
    assert [patches.name(index) for index in (0, 2, 3)] == ["phantom0004"] * 2 + ["phantom0005"]
    assert patches.voxel_size(5) == pytest.approx((30.0, 30.0, 30.0))
    corners = np.array([patches[index]["corner"] for index in range(6)])
    assert len(np.unique(corners, axis=0)) > 3
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert (corners[:, one] != corners[:, other]).any()
    assert len({patches[index]["seed"] for index in range(6)}) == 6
    assert [patches[index]["index"] for index in range(6)] == list(range(6))


def test_a_patch_as_large_as_the_volume_is_the_volume(root, chest_settings):
    patches = XrayCtPatches(chest_settings(root), "validation", 12)
    np.testing.assert_array_equal(patches[0]["ct"], patches.volumes[0]["ct"])


@pytest.mark.parametrize(
    ("size", "count", "words"),
    [(13, 1, "patch_size: found 13"), (0, 1, "found 0"), (4, 0, "patches_per_volume: found 0")],
)
def test_patches_that_cannot_be_are_refused(root, chest_settings, size, count, words):
    with pytest.raises(SettingsError, match=words):
        XrayCtPatches(chest_settings(root), "test", size, patches_per_volume=count)


def test_forked_loaders_and_pickled_copies_read_the_same(chests, chest_settings):
    settings = chest_settings(chests("x2ct_gan"), cache_gb=1)
    patches = XrayCtPatches(settings, "test", 5)
    expected = [patches[index] for index in range(2)]
    loader = DataLoader(patches, batch_size=2, num_workers=1, multiprocessing_context="fork")
    (batch,) = loader
    copied = pickle.loads(pickle.dumps(patches))
    for key in ("ct", "xrays", "corner", "seed"):
        np.testing.assert_array_equal(batch[key], np.stack([one[key] for one in expected]))
        np.testing.assert_array_equal(copied[1][key], expected[1][key])
    assert batch["index"].dtype == batch["seed"].dtype == batch["corner"].dtype == torch.int64


def test_phantoms_are_made_where_there_is_nothing_yet(tmp_path, chest_settings):
    sizes = {"size": 8, "xray_size": 8, "train": 2, "validation": 1, "test": 1}
    settings = chest_settings(tmp_path / "new", ct_size=8, generate=sizes)
    assert len(XrayCtVolumes(settings, "train")) == 2
    assert len(XrayCtVolumes(settings, "test")) == 1


@pytest.mark.parametrize(
    ("mistake", "cure"),
    [
        ({"ct_axes": "SPL"}, "with data.ct_axes: IPL"),
        ({"xray_turn": 180}, "with data.xray_turn: 0"),
        ({"xray_invert": True}, "with data.xray_invert: false, as bright and dark are exchanged"),
    ],
)
def test_pairs_that_do_not_fit_as_they_are_read_are_named_with_the_cure(
    root, chest_settings, caplog, mistake, cure
):
    XrayCtVolumes(chest_settings(root), "train")
    assert "phantom0000" not in caplog.text
    XrayCtVolumes(chest_settings(root, **mistake), "train")
    assert "the X-rays and the volume of phantom0000 correlate by" in caplog.text
    assert cure in caplog.text


def test_files_that_say_their_axes_are_not_to_be_read_otherwise(
    made_chests, chest_settings, caplog
):
    root = made_chests("nifti_png")
    path = root / "phantom0000" / "phantom0000.nii.gz"
    image = nibabel.loadsave.load(path)
    affine = image.affine @ np.diag([1.0, 1.0, -1.0, 1.0])
    nibabel.loadsave.save(nibabel.nifti1.Nifti1Image(np.asarray(image.dataobj), affine), path)
    XrayCtVolumes(chest_settings(root), "train")
    assert "if the files' headers led to SPL: correct them" in caplog.text
    assert "data.ct_axes" not in caplog.text


def test_faint_xrays_are_named(root, chest_settings, caplog):
    for path in root.glob("*/*.h5"):
        with h5py.File(path, "r+") as file:
            for view in ("xray1", "xray2"):
                file[view][...] = file[view][...] // 16
    XrayCtVolumes(chest_settings(root), "train")
    assert "% of white" in caplog.text
