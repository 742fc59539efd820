"""The perceptual term: its network, the slices it sees, and that many need no more memory."""

from __future__ import annotations

import pytest
import torch
import torchvision

from models.blocks.direct import perceptual
from models.blocks.direct.perceptual import (
    PerceptualLoss,
    check_weights_file,
    chosen_slices,
    load_features,
    slices_along,
)
from protocol.errors import SettingsError
from tests.unit.models.blocks.direct.vgg import random_features, write_vgg

SEEDS = torch.tensor([5, 6])


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory):
    return write_vgg(tmp_path_factory.mktemp("vgg") / "vgg16.safetensors")


@pytest.fixture
def pair():
    random = torch.Generator().manual_seed(2)
    return [torch.rand(2, 1, 8, 8, 8, generator=random) for _ in range(2)]


@pytest.mark.parametrize("prefix", ["features.", ""])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_are_read_as_torchvision_names_them_or_from_its_features_alone(
    tmp_path, suffix, prefix
):
    network = load_features(write_vgg(tmp_path / f"vgg{suffix}", prefix=prefix))
    expected = random_features()
    images = torch.rand(1, 3, 16, 16)
    assert torch.equal(network(images), expected(images))
    assert not any(weight.requires_grad for weight in network.parameters())


def test_the_layers_are_those_of_torchvisions_vgg16():
    with torch.device("meta"):
        whole = torchvision.models.vgg16().features
    own = perceptual._features()
    assert [repr(layer) for layer in own] == [repr(layer) for layer in whole[: len(own)]]
    convolutions = [i for i, layer in enumerate(own) if isinstance(layer, torch.nn.Conv2d)]
    # relu1_2, relu2_2 and relu3_3 follow the second, fourth and seventh convolution.
    assert tuple(convolutions[number] + 1 for number in (1, 3, 6)) == perceptual.TAPS


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        ("absent", "there is no file"),
        ("text", "cannot be read"),
        ("shape", "features.2.weight found .3, 3., expected .64, 64, 3, 3."),
        ("other", "features.0.weight found none"),
    ],
)
def test_a_file_of_another_network_is_refused_in_a_sentence(tmp_path, broken, expected):
    path = tmp_path / "vgg.pth"
    if broken == "text":
        path.write_text("not weights")
    if broken == "shape":
        tensors = torch.load(write_vgg(path), weights_only=True)
        torch.save(tensors | {"features.2.weight": torch.zeros(3, 3)}, path)
    if broken == "other":
        torch.save({"layer1.weight": torch.zeros(3)}, path)
    with pytest.raises(SettingsError, match=expected) as caught:
        check_weights_file(path)
    assert str(caught.value).startswith("recipe.perceptual_weights_file: ")


def test_it_is_the_mean_error_of_three_layers_over_three_orientations(weights_file, pair):
    result, target = pair
    features = random_features()
    mean = torch.tensor(perceptual.MEAN).reshape(1, 3, 1, 1)
    deviation = torch.tensor(perceptual.DEVIATION).reshape(1, 3, 1, 1)
    errors = []
    for order in ((0, 1, 2, 3), (0, 2, 1, 3), (0, 3, 1, 2)):
        x, y = (v.squeeze(1).permute(order).reshape(-1, 1, 8, 8) for v in (result, target))
        x, y = ((v.repeat(1, 3, 1, 1) - mean) / deviation for v in (x, y))
        for tap in (3, 8, 15):
            part = features[: tap + 1]
            errors.append((part(x) - part(y)).abs().mean())
    found = PerceptualLoss(weights_file, "all")(result, target, SEEDS)
    torch.testing.assert_close(found, torch.stack(errors).mean(), rtol=1e-4, atol=1e-6)


def test_many_slices_are_worked_off_in_parts_with_the_same_gradient(
    weights_file, pair, monkeypatch
):
    loss = PerceptualLoss(weights_file, "all")
    gradients = []
    for pixels in (2**21, 3 * 64):
        monkeypatch.setattr(perceptual, "PIXELS_AT_ONCE", pixels)
        result = pair[0].clone().requires_grad_()
        value = loss(result, pair[1], SEEDS)
        value.backward()
        gradients.append((value.detach(), result.grad))
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-7)
    assert gradients[0][1].abs().max() > 0


def test_slices_cross_the_axis_that_is_named():
    volume = torch.arange(2 * 2 * 3 * 4).reshape(2, 1, 2, 3, 4)
    assert torch.equal(slices_along(volume, 0, None)[1, 0], volume[0, 0, 1])
    assert torch.equal(slices_along(volume, 1, None)[2, 0], volume[0, 0, :, 2])
    assert torch.equal(slices_along(volume, 2, None)[3, 0], volume[0, 0, :, :, 3])
    chosen = torch.tensor([[3, 0], [1, 1]])
    some = slices_along(volume, 2, chosen)[:, 0]
    expected = [volume[0, 0, :, :, 3], volume[0, 0, :, :, 0], *[volume[1, 0, :, :, 1]] * 2]
    assert torch.equal(some, torch.stack(expected))


def test_chosen_slices_are_spread_over_the_axis_and_reach_every_place():
    places = chosen_slices(torch.arange(400), 10, 3, stream=1)
    assert places.shape == (400, 3)
    assert set(places.flatten().tolist()) == set(range(10))
    assert (places[:, 0] <= 3).all()
    assert (places[:, 2] >= 6).all()


def test_a_samples_slices_depend_on_its_own_seed_alone(weights_file, pair):
    loss = PerceptualLoss(weights_file, 2)
    result, target = pair
    together = loss(result, target, SEEDS)
    alone = [loss(result[i : i + 1], target[i : i + 1], SEEDS[i : i + 1]) for i in range(2)]
    torch.testing.assert_close(together, torch.stack(alone).mean(), rtol=1e-4, atol=1e-6)
    other = loss(result, target, SEEDS + 1)
    assert not torch.allclose(together, other, rtol=1e-4)
