import numpy as np
import pytest
import torch
from PIL import Image

from data.xray_ct.images import read_xray, resize_xrays
from protocol.errors import DataError


@pytest.fixture
def ramp():
    """(6, 9) from 0 to 1; no two pixels alike."""
    return np.linspace(0, 1, 54, dtype=np.float32).reshape(6, 9)


def save_png(path, grey, mode=None):
    image = Image.fromarray(grey)
    (image.convert(mode) if mode else image).save(path)
    return path


@pytest.mark.parametrize("bits", [8, 16])
def test_grey_pngs_of_both_depths_are_read_on_one_scale(tmp_path, ramp, bits):
    full, kind = (255, np.uint8) if bits == 8 else (65535, np.uint16)
    path = save_png(tmp_path / "a.png", np.rint(ramp * full).astype(kind))
    found = read_xray(path)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, ramp, atol=0.51 / full)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "LA"])
def test_pngs_with_equal_colours_or_a_palette_are_grey(tmp_path, ramp, mode):
    path = save_png(tmp_path / "a.png", np.rint(ramp * 255).astype(np.uint8), mode)
    np.testing.assert_allclose(read_xray(path), ramp, atol=0.51 / 255)


@pytest.mark.parametrize("shape", [(6, 9), (1, 6, 9), (6, 9, 1)])
def test_arrays_and_tensors_are_read_with_or_without_a_channel(tmp_path, ramp, shape):
    np.save(tmp_path / "a.npy", ramp.reshape(shape))
    torch.save(torch.from_numpy(ramp.reshape(shape)), tmp_path / "a.pt")
    for name in ("a.npy", "a.pt"):
        np.testing.assert_array_equal(read_xray(tmp_path / name), ramp)


def test_whole_numbers_in_arrays_are_divided_by_what_their_type_can_hold(tmp_path, ramp):
    np.save(tmp_path / "a.npy", np.rint(ramp * 255).astype(np.uint8))
    np.save(tmp_path / "b.npy", np.rint(ramp * 65535).astype(np.uint16))
    np.testing.assert_allclose(read_xray(tmp_path / "a.npy"), ramp, atol=0.51 / 255)
    np.testing.assert_allclose(read_xray(tmp_path / "b.npy"), ramp, atol=1e-5)


def test_a_tensor_as_older_torch_wrote_it_is_read(tmp_path, ramp):
    torch.save(torch.from_numpy(ramp), tmp_path / "a.pt", _use_new_zipfile_serialization=False)
    np.testing.assert_array_equal(read_xray(tmp_path / "a.pt"), ramp)


def bad_files(folder, ramp):
    colours = np.stack([ramp, ramp * 0.5, ramp], axis=-1)
    np.save(folder / "nan.npy", np.where(ramp == 1, np.nan, ramp))
    np.save(folder / "large.npy", ramp * 300)
    np.save(folder / "volume.npy", np.zeros((6, 6, 6), np.float32))
    np.save(folder / "words.npy", np.array([["a", "b"] * 3] * 6))
    np.save(folder / "tiny.npy", np.zeros((2, 9), np.float32))
    torch.save({"image": torch.zeros(6, 9)}, folder / "dictionary.pt")
    save_png(folder / "coloured.png", np.rint(colours * 255).astype(np.uint8))
    whole = save_png(folder / "whole.png", np.rint(ramp * 255).astype(np.uint8)).read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    np.save(folder / "signed.npy", (ramp * 255).astype(np.int16))
    np.save(folder / "long.npy", (ramp * 255).astype(np.int64))
    (folder / "folder.png").mkdir()
    Image.fromarray(np.zeros((14000, 14000), bool)).save(folder / "huge.png")
    (folder / "text.png").write_text("no image")
    (folder / "text.pt").write_text("no tensor")
    (folder / "text.npy").write_text("no array")
    (folder / "photo.jpg").write_text("not read at all")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nan.npy", "NaN"),
        ("large.npy", "from 0 to 300, expected 0 to 1"),
        ("volume.npy", r"shape \(6, 6, 6\)"),
        ("words.npy", "do not say what white is"),
        ("signed.npy", "int16 values, which do not say what white is"),
        ("long.npy", "int64 values"),
        ("folder.png", "is a folder"),
        ("huge.png", "pixels"),
        ("tiny.npy", "at least 4 pixels"),
        ("dictionary.pt", "expected a tensor"),
        ("coloured.png", "one grey image"),
        ("cut.png", "damaged"),
        ("text.png", "damaged"),
        ("text.pt", "damaged"),
        ("text.npy", "damaged"),
        ("photo.jpg", r"'.jpg'; convert"),
        ("missing.png", "there is no file"),
    ],
)
def test_what_is_no_xray_is_refused_in_a_sentence_that_names_the_file(tmp_path, ramp, name, words):
    bad_files(tmp_path, ramp)
    with pytest.raises(DataError, match=words) as refusal:
        read_xray(tmp_path / name)
    assert name in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("form", ["bfloat16", "float8", "sparse", "quantized"])
def test_tensors_that_numpy_does_not_know_are_read(tmp_path, ramp, form):
    tensor = torch.from_numpy(ramp)
    match form:
        case "bfloat16":
            tensor = tensor.to(torch.bfloat16)
        case "float8":
            tensor = tensor.to(torch.float8_e4m3fn)
        case "sparse":
            tensor = tensor.to_sparse()
        case "quantized":
            tensor = torch.quantize_per_tensor(tensor, 1 / 255, 0, torch.quint8)
    torch.save(tensor, tmp_path / "x.pt")
    np.testing.assert_allclose(read_xray(tmp_path / "x.pt"), ramp, atol=0.05)


def test_code_in_a_tensor_file_is_not_run(tmp_path):
    class Harmful:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save(Harmful(), tmp_path / "a.pt")
    with pytest.raises(DataError, match="more than tensors"):
        read_xray(tmp_path / "a.pt")
    assert not (tmp_path / "ran").exists()


def test_resizing_keeps_the_mean_and_where_things_are():
    images = torch.zeros(2, 32, 32)
    images[0, :16, :8] = 1
    smaller = resize_xrays(images, 8)
    assert smaller.shape == (2, 8, 8)
    assert smaller.mean() == pytest.approx(images.mean().item(), abs=0.01)
    assert smaller[0, 1, 0] == pytest.approx(1)
    assert smaller[0, 6, 6] == 0
    assert smaller[1].max() == 0


def test_resizing_to_the_same_size_changes_nothing():
    images = torch.rand(2, 8, 8)
    assert resize_xrays(images, 8) is images


def test_resizing_averages_a_pattern_finer_than_its_pixels():
    noise = (torch.rand(1, 64, 64, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    assert resize_xrays(noise, 8).std() < 0.08  # of 64 pixels and more each
