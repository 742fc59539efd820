import h5py
import numpy as np
import pytest
import torch
from pydantic import ValidationError

from data.geometry import ParallelGeometry
from data.lodopab.dataset import LodopabSettings
from models.blocks.fbp.fbp import fixed_window_fbp
from models.families.fbp_window import FbpWindow, FbpWindowSettings
from models.registry import load_family

SCAN = ParallelGeometry.lodopab(angles=24, detectors=45, image_size=32)
IMAGES = 3


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


@pytest.fixture
def family(root):
    def make(**settings):
        return FbpWindow(FbpWindowSettings(**settings), LodopabSettings(root=root))

    return make


@pytest.fixture
def batch(family):
    samples = torch.utils.data.DataLoader(family().dataset("train"), batch_size=IMAGES)
    return next(iter(samples))


def test_it_is_found_by_its_name():
    assert load_family("fbp_window") is FbpWindow


def test_the_defaults_are_the_published_recipe():
    settings = FbpWindowSettings()
    assert (settings.window, settings.initial_window, settings.loss) == ("full", "ones", "mse")
    assert settings.frequency_scaling == 1.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"window": "round"},
        {"harmonics": 0},
        {"initial_window": "hamming"},
        {"frequency_scaling": 0.0},
        {"frequency_scaling": 1.1},
        {"loss": "l2"},
        {"harmonic": 5},
    ],
    ids=str,
)
def test_a_wrong_recipe_is_refused(wrong):
    with pytest.raises(ValidationError):
        FbpWindowSettings(**wrong)


def test_every_key_is_described():
    assert all(field.description for field in FbpWindowSettings.model_fields.values())


@pytest.mark.parametrize(
    ("settings", "parameters"),
    [
        ({"window": "full"}, 24 * 45),
        ({"window": "per_frequency"}, 45),
        ({"window": "fourier", "harmonics": 10}, 21),
    ],
)
def test_the_model_reconstructs_and_trains_the_window_alone(family, batch, settings, parameters):
    model = family(**settings).build_model()
    assert sum(weight.numel() for weight in model.parameters()) == parameters
    assert model(batch["sinogram"]).shape == (IMAGES, 1, 32, 32)


def test_the_loss_is_a_mean_whatever_the_batch(family, batch):
    one = {key: value[:1] for key, value in batch.items()}
    many = {key: value[:1].repeat(4, *[1] * (value.ndim - 1)) for key, value in batch.items()}
    for name in ("mse", "l1"):
        judged = family(loss=name)
        model = judged.build_model()
        ((key, small),) = judged.losses(model, one).items()
        large = judged.losses(model, many)[key]
        difference = model(one["sinogram"]) - one["image"]
        expected = difference.square().mean() if name == "mse" else difference.abs().mean()
        assert key == name
        torch.testing.assert_close(small, expected)
        torch.testing.assert_close(large, small)


@pytest.mark.parametrize("kind", ["full", "per_frequency", "fourier"])
def test_training_a_few_steps_beats_the_initial_window(family, batch, kind):
    judged = family(window=kind, harmonics=12)
    model = judged.build_model()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    first = judged.losses(model, batch)["mse"].item()
    for _ in range(25):
        optimizer.zero_grad()
        judged.losses(model, batch)["mse"].backward()
        optimizer.step()
    assert judged.losses(model, batch)["mse"].item() < 0.8 * first


def test_evaluation_gives_every_declared_metric_of_every_sample(family, batch):
    judged = family()
    with torch.no_grad():
        scores = judged.evaluate(judged.build_model(), batch)
    assert scores.keys() == FbpWindow.metrics.keys()
    assert all(score.shape == (IMAGES,) for score in scores.values())
    assert FbpWindow.metrics["mse"] == "minimize"
    assert all(FbpWindow.metrics[name] == "maximize" for name in scores if name != "mse")


def test_a_diverged_model_is_scored_nan_and_does_not_raise(family, batch):
    judged = family()
    model = judged.build_model()
    with torch.no_grad():
        model.window.weight.fill_(float("nan"))
        scores = judged.evaluate(model, batch)
    assert all(torch.isnan(score).all() for score in scores.values())


@pytest.fixture(params=[True, False], ids=["prepared", "published"])
def turned(root, request):
    """How an image is looked at: sets made here, which have a record, as they are; others as .T."""
    record = root / "made_from.json"
    if request.param:
        record.write_text("{}")
    yield (lambda image: image) if request.param else (lambda image: image.T)
    record.unlink(missing_ok=True)


def test_pictures_show_target_input_result_and_difference_in_one_window(family, batch, turned):
    judged = family(initial_window="hann", frequency_scaling=0.5)
    model = judged.build_model()
    with torch.no_grad():
        pictures = judged.pictures(model, batch)
        result = model(batch["sinogram"])
    assert len({picture.name for picture in pictures}) == IMAGES
    for index, picture in enumerate(pictures):
        target, ram_lak, shown, difference = picture.panels
        assert picture.window == (target.image.min(), target.image.max())
        expected = fixed_window_fbp(batch["sinogram"], SCAN)[index, 0]
        np.testing.assert_array_equal(turned(target.image), batch["image"][index, 0])
        np.testing.assert_allclose(turned(ram_lak.image), expected, atol=1e-6)
        np.testing.assert_allclose(turned(shown.image), result[index, 0], atol=1e-6)
        np.testing.assert_allclose(difference.image, shown.image - target.image, atol=1e-6)
        assert [panel.difference for panel in picture.panels] == [False, False, False, True]
        assert all(panel.image.dtype == np.float32 for panel in picture.panels)
        for panel in (ram_lak, shown):
            assert "PSNR" in panel.title
            assert "SSIM" in panel.title
        assert ram_lak.title.split("\n")[1] != shown.title.split("\n")[1]
