import h5py
import numpy as np
import pytest
import torch
import yaml
from pydantic import ValidationError

from data.geometry import ParallelGeometry
from data.lodopab.reconstructions import ReconstructionSettings
from models.blocks.fbp.fbp import fixed_window_fbp
from models.blocks.images import metrics
from models.families.fbp_unet import FbpUnet, FbpUnetSettings
from models.families.fbp_window import FbpWindow, FbpWindowSettings
from models.registry import load_family
from protocol.errors import SettingsError
from protocol.recipe import Recipe
from tests.studio import ROOT

SCAN = ParallelGeometry.lodopab(angles=24, detectors=45, image_size=32)
IMAGES = 3
TINY = {"architecture": "custom", "base_width": 4, "depth": 3}


@pytest.fixture(scope="module")
def root(tmp_path_factory, disc_scan):
    """A data set of noisy discs in LoDoPaB-CT's layout."""
    folder = tmp_path_factory.mktemp("discs")
    random = np.random.default_rng(0)
    for split in ("train", "validation", "test"):
        scans = [disc_scan(SCAN, centre=random.uniform(-0.05, 0.05, 2)) for _ in range(IMAGES)]
        sinograms = np.concatenate([scan.sinogram[:, 0] for scan in scans])
        sinograms += random.normal(0, 4e-3, sinograms.shape)
        images = np.concatenate([scan.image[:, 0] for scan in scans])
        for kind, values in (("observation", sinograms), ("ground_truth", images)):
            with h5py.File(folder / f"{kind}_{split}_000.hdf5", "w") as file:
                file["data"] = values.astype(np.float32)
    return folder


@pytest.fixture(autouse=True)
def one_thread():
    """More cost time at this size, and most where other tests run beside."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def family(root):
    def make(**settings):
        torch.manual_seed(0)
        return FbpUnet(FbpUnetSettings(**TINY | settings), ReconstructionSettings(root=root))

    return make


@pytest.fixture
def batch(family):
    samples = torch.utils.data.DataLoader(family().dataset("train"), batch_size=IMAGES)
    return next(iter(samples))


def sinograms(root):
    with h5py.File(root / "observation_train_000.hdf5", locking=False) as file:
        return torch.from_numpy(file["data"][:])[:, None]


def test_it_is_found_by_its_name():
    assert load_family("fbp_unet") is FbpUnet


def test_the_defaults_are_the_published_recipe():
    settings = FbpUnetSettings()
    assert (settings.architecture, settings.head, settings.loss) == ("published", "sigmoid", "mse")
    assert (settings.window, settings.frequency_scaling) == ("hann", 1.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"architecture": "large"},
        {"base_width": 0},
        {"depth": 1},
        {"skip": 0},
        {"skip": "some"},
        {"norm": "layer"},
        {"head": "tanh"},
        {"window": "hamming"},
        {"frequency_scaling": 0.0},
        {"loss": "l2"},
        {"width": 5},
    ],
    ids=str,
)
def test_a_wrong_recipe_is_refused(wrong):
    with pytest.raises(ValidationError):
        FbpUnetSettings(**wrong)


def test_every_key_is_described():
    assert all(field.description for field in FbpUnetSettings.model_fields.values())


@pytest.mark.parametrize(
    ("architecture", "parameters"),
    [("published", 30_928_129), ("small", 610_673), ("custom", 31_030_593)],
)
def test_the_model_is_the_network_alone(family, architecture, parameters):
    """With the published measures the general form has the two 3×3 convolutions on top as well."""
    with torch.device("meta"):
        model = family(architecture=architecture, base_width=64, depth=5).build_model()
    assert sum(weight.numel() for weight in model.parameters()) == parameters


@pytest.mark.parametrize(
    ("window", "scaling"), [("ones", 1.0), ("hann", 1.0), ("hann", 0.6), ("cosine", 0.8)]
)
def test_a_sample_is_the_fbp_of_its_own_filter_also_from_the_cache(family, root, window, scaling):
    expected = fixed_window_fbp(sinograms(root), SCAN, window, scaling)
    for _ in range(2):
        dataset = family(window=window, frequency_scaling=scaling).dataset("train")
        assert len(dataset) == IMAGES
        for index in range(IMAGES):
            sample = dataset[index]
            assert sample.keys() == {"fbp", "image", "index"}
            np.testing.assert_array_equal(sample["fbp"], expected[index])


def test_the_published_losses_are_means_whatever_the_batch(family, batch):
    one = {key: value[:1] for key, value in batch.items()}
    many = {key: value[:1].repeat(4, *[1] * (value.ndim - 1)) for key, value in batch.items()}
    for name in ("mse", "l1"):
        judged = family(loss=name)
        model = judged.build_model()
        ((key, small),) = judged.losses(model, one).items()
        difference = model(one["fbp"]) - one["image"]
        expected = difference.square().mean() if name == "mse" else difference.abs().mean()
        assert key == name
        torch.testing.assert_close(small, expected)
        torch.testing.assert_close(judged.losses(model, many)[key], small)


def test_the_mixed_loss_has_two_terms_at_a_tiny_size_too(family, batch):
    judged = family(loss="l1_ms_ssim")
    terms = judged.losses(judged.build_model(), batch)
    assert terms.keys() == {"l1", "ms_ssim"}
    assert all(term.shape == () and term > 0 for term in terms.values())


@pytest.mark.parametrize("loss", ["mse", "l1", "l1_ms_ssim"])
def test_a_diverged_model_has_a_loss_that_is_not_finite_and_does_not_raise(family, batch, loss):
    judged = family(loss=loss)
    model = judged.build_model()
    with torch.no_grad():
        model.last.bias.fill_(float("nan"))
    assert not torch.isfinite(sum(judged.losses(model, batch).values()))
    with torch.no_grad():
        scores = judged.evaluate(model, batch)
    assert all(torch.isnan(score).all() for score in scores.values())


@pytest.mark.parametrize("loss", ["mse", "l1", "l1_ms_ssim"])
def test_training_a_few_steps_beats_the_fbp(family, batch, loss):
    judged = family(loss=loss, head="residual", norm="batch", base_width=8)
    model = judged.build_model()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(30):
        optimizer.zero_grad()
        sum(judged.losses(model, batch).values()).backward()
        optimizer.step()
    with torch.no_grad():
        assert judged.evaluate(model, batch)["psnr_gain"].mean() > 2


def test_the_gain_is_that_over_the_fbp_which_the_network_was_given(family, batch):
    judged = family()
    with torch.no_grad():
        scores = judged.evaluate(judged.build_model(), batch)
        expected = scores["psnr"] - metrics.psnr(batch["fbp"], batch["image"])
        untrained = family(head="residual")
        nothing = untrained.evaluate(untrained.build_model(), batch)["psnr_gain"]
    torch.testing.assert_close(scores["psnr_gain"], expected)
    assert nothing.tolist() == [0, 0, 0]


def test_evaluation_gives_every_declared_metric_of_every_sample(family, batch):
    judged = family()
    with torch.no_grad():
        scores = judged.evaluate(judged.build_model(), batch)
    assert scores.keys() == FbpUnet.metrics.keys()
    assert all(score.shape == (IMAGES,) for score in scores.values())
    assert FbpUnet.metrics["mse"] == "minimize"
    assert all(FbpUnet.metrics[name] == "maximize" for name in scores if name != "mse")


@pytest.fixture(params=[True, False], ids=["prepared", "published"])
def turned(root, request):
    """How an image is looked at: sets made here, which have a record, as they are; others as .T."""
    record = root / "made_from.json"
    if request.param:
        record.write_text("{}")
    yield (lambda image: image) if request.param else (lambda image: image.T)
    record.unlink(missing_ok=True)


def test_pictures_show_target_input_result_and_difference_in_one_window(family, batch, turned):
    judged = family()
    model = judged.build_model()
    with torch.no_grad():
        pictures = judged.pictures(model, batch)
        results = model(batch["fbp"])
    assert len({picture.name for picture in pictures}) == IMAGES
    for index, picture in enumerate(pictures):
        target, given, shown, difference = picture.panels
        assert picture.window == (target.image.min(), target.image.max())
        np.testing.assert_array_equal(turned(target.image), batch["image"][index, 0])
        np.testing.assert_array_equal(turned(given.image), batch["fbp"][index, 0])
        np.testing.assert_allclose(turned(shown.image), results[index, 0], atol=1e-6)
        np.testing.assert_allclose(difference.image, shown.image - target.image, atol=1e-6)
        assert [panel.difference for panel in picture.panels] == [False, False, False, True]
        for panel in (given, shown):
            assert "PSNR" in panel.title
            assert "SSIM" in panel.title
        assert given.title.split("\n")[1] != shown.title.split("\n")[1]


@pytest.mark.parametrize("preset", ["fbp_unet", "fbp_unet_tiny"])
def test_a_presets_points_to_try_first_are_whole_recipes_of_the_family(preset):
    content = yaml.safe_load((ROOT / "studies" / f"{preset}.yml").read_text())
    assert content["enqueue"]
    for point in content["enqueue"]:
        FbpUnetSettings(**Recipe.of(content["recipe"] | point).own)
    ReconstructionSettings(**content["data"])


def test_the_first_trials_of_the_full_preset_are_the_published_recipes():
    content = yaml.safe_load((ROOT / "studies" / "fbp_unet.yml").read_text())
    recipe = content["recipe"]
    published, small = (recipe | point for point in content["enqueue"])
    assert (recipe["epochs"], recipe["batch_size"], recipe["optimizer"]) == (25, 4, "adam")
    assert (published["learning_rate"], published["scheduler"]) == (1e-4, "plateau")
    assert (published["architecture"], published["loss"]) == ("published", "mse")
    assert (small["architecture"], small["learning_rate"]) == ("small", 1e-3)
    assert (small["scheduler"], small["minimum_learning_rate"]) == ("cosine", 1e-4)


@pytest.fixture
def window_file(root, tmp_path):
    """A trial of fbp_window, whose window halves what the ramp lets through."""
    parent = FbpWindow(FbpWindowSettings(window="per_frequency"), ReconstructionSettings(root=root))
    model = parent.build_model()
    torch.nn.init.constant_(model.window.weight, 0.5)
    content = {
        "family": "fbp_window",
        "recipe": {"window": "per_frequency", "learning_rate": 1e-3},
        "data": {"root": "/moved/away"},
        "model": model.state_dict(),
    }
    path = tmp_path / "best.pth"
    torch.save({"content": content}, path)
    return path


def test_the_parents_learned_window_filters_before_the_network(family, root, window_file):
    own = family(window="parent", parent_file=window_file)
    own.check()
    sample = own.dataset("train")[0]
    expected = fixed_window_fbp(sinograms(root)[:1], SCAN) / 2
    np.testing.assert_allclose(sample["fbp"], expected[0], atol=1e-5)


def test_another_parents_reconstructions_are_not_taken_for_its_own(family, window_file):
    first = family(window="parent", parent_file=window_file).dataset("train")[0]["fbp"]
    saved = torch.load(window_file, weights_only=True)
    saved["content"]["model"]["window.weight"] *= 2
    torch.save(saved, window_file)
    again = family(window="parent", parent_file=window_file).dataset("train")[0]["fbp"]
    np.testing.assert_allclose(again, 2 * first, atol=1e-5)


def test_a_parents_window_without_a_parent_is_refused_with_what_to_add(family):
    with pytest.raises(SettingsError, match=r"`parent: \{study: NAME, trial: best\}`.*`window`"):
        family(window="parent").check()
