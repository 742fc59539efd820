import logging

import pytest
import torch
from torchvision.models import resnet18

from models.blocks.anomaly.encoder import make_encoder
from models.blocks.encoder_weights import fitting_tensors, load_encoder, match_tensors
from protocol.errors import SettingsError

LOGGER = "models.blocks.encoder_weights"


@pytest.fixture(scope="module")
def source():
    torch.manual_seed(1)
    return make_encoder("resnet18", 6)


@pytest.fixture
def encoder():
    torch.manual_seed(2)
    return make_encoder("resnet18", 6)


def _under(prefix, state):
    return {prefix + name: tensor for name, tensor in state.items()}


def _same(encoder, source, name):
    return torch.equal(encoder.state_dict()[name], source.state_dict()[name])


@pytest.mark.parametrize(
    ("wrap", "prefix"),
    [
        (lambda state: state, ""),
        (lambda state: {"state_dict": _under("module.", state), "epoch": 3}, "module."),
        (lambda state: {"model": _under("module.encoder.", state)}, "module.encoder."),
        (
            lambda state: {
                "module": _under("sparse_encoder.sp_cnn.", state)
                | {"dense_decoder.dec.0.conv1.weight": torch.rand(3, 3)}
            },
            "sparse_encoder.sp_cnn.",
        ),
        (
            lambda state: {
                "sha256": "0",
                "content": {
                    "model": _under("encoder.", state) | {"unet.conv_in.weight": torch.rand(2)},
                    "training": {"optimizer": {"state": {0: {"step": torch.tensor(1.0)}}}},
                },
            },
            "encoder.",
        ),
    ],
    ids=["plain", "data-parallel", "nested", "masked pretraining", "a trial's checkpoint"],
)
def test_weights_are_found_under_whatever_prefix(tmp_path, source, encoder, wrap, prefix):
    path = tmp_path / "weights.pth"
    torch.save(wrap(dict(source.state_dict())), path)
    match = fitting_tensors(encoder, path)
    load_encoder(encoder, path)
    assert match.prefix == prefix
    assert match.missing == match.other_shape == []
    assert all(_same(encoder, source, name) for name in source.state_dict())


def test_a_safetensors_file_is_read(tmp_path, source, encoder):
    from safetensors.torch import save_file

    path = tmp_path / "weights.safetensors"
    save_file(source.state_dict(), path)
    load_encoder(encoder, path)
    assert all(_same(encoder, source, name) for name in source.state_dict())


def test_what_fitted_and_what_did_not_is_in_the_log(tmp_path, source, encoder, caplog):
    state = dict(source.state_dict()) | {"decoder.weight": torch.rand(2)}
    before = encoder.state_dict()["bn1.weight"].clone()
    del state["bn1.weight"]
    state["fc.weight"] = torch.rand(1000, 512)
    path = tmp_path / "weights.pth"
    torch.save(state, path)
    with caplog.at_level(logging.INFO, LOGGER):
        load_encoder(encoder, path)
    total = len(source.state_dict())
    assert f"{total - 2} of {total} tensors from {path}" in caplog.text
    assert "1 tensors not in the file, left random: bn1.weight" in caplog.text
    assert "left random: fc.weight (1000, 512) for (6, 512)" in caplog.text
    assert "1 tensors in the file, not used: decoder.weight" in caplog.text
    assert "SHA-256" in caplog.text
    assert torch.equal(encoder.state_dict()["bn1.weight"], before)
    assert not torch.equal(encoder.state_dict()["fc.weight"][:6], state["fc.weight"][:6])


def test_a_first_layer_for_colour_answers_grey_as_it_answered_three_equal_channels(
    tmp_path, encoder
):
    colour = resnet18(num_classes=6).eval()
    path = tmp_path / "colour.pth"
    torch.save(colour.state_dict(), path)
    load_encoder(encoder.eval(), path)
    image = torch.rand(2, 1, 32, 32)
    torch.testing.assert_close(
        encoder(image), colour(image.expand(-1, 3, -1, -1)), atol=1e-4, rtol=1e-4
    )


def test_the_weights_of_another_network_are_refused(tmp_path, encoder):
    path = tmp_path / "other.pth"
    torch.save(make_encoder("small", 6).state_dict(), path)
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    with pytest.raises(SettingsError, match=r"other\.pth has 0 of the encoder's \d+ tensors"):
        load_encoder(encoder, path)
    assert all(torch.equal(encoder.state_dict()[name], before[name]) for name in before)


def test_a_smaller_network_of_the_same_kind_is_not_taken_for_it(tmp_path, source):
    path = tmp_path / "smaller.pth"
    torch.save(source.state_dict(), path)
    with pytest.raises(SettingsError, match="three quarters"):
        load_encoder(make_encoder("resnet34", 6), path)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("missing.pth", None, "there is no file"),
        ("missing.safetensors", None, "there is no file"),
        ("empty.pth", b"", "cannot be read"),
        ("empty.safetensors", b"", "cannot be read"),
        ("text.pth", b"not a checkpoint", "cannot be read"),
        ("text.safetensors", b"not a checkpoint", "cannot be read"),
        ("numbers.pth", {"epoch": 3}, "no named tensors"),
        ("nameless.pth", [torch.rand(2)], "no named tensors"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_without_weights_is_refused_in_a_sentence(tmp_path, encoder, name, content, words):
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(SettingsError, match=words) as caught:
        load_encoder(encoder, path)
    assert "recipe.encoder_weights_file" in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_file_that_would_run_code_runs_none_and_is_refused(tmp_path, encoder, capsys):
    class Loud:
        def __reduce__(self):
            return print, ("it ran",)

    path = tmp_path / "loud.pth"
    torch.save({"conv1.weight": Loud()}, path)
    with pytest.raises(SettingsError, match="holds no named tensors"):
        load_encoder(encoder, path)
    assert "it ran" not in capsys.readouterr().out


def test_a_block_inside_the_network_is_not_taken_for_the_network(source):
    own = source.state_dict()
    match = match_tensors(_under("backbone.", own), own)
    assert match.prefix == "backbone."
    assert len(match.fitting) == len(own)
