import torch

from models.blocks.anomaly.slice_picture import slice_picture


def _picture(image, result, mask):
    return slice_picture(7, image, result, mask, (500,))


def test_what_lies_outside_the_brain_is_not_shown():
    image, result = torch.rand(1, 12, 12), torch.rand(1, 12, 12)
    mask = torch.zeros(1, 12, 12)
    mask[:, 2:9, 3:10] = 1
    for panel in _picture(image, result, mask).panels:
        shown = torch.from_numpy(panel.image)
        assert not shown[mask[0] == 0].any()
        assert shown[mask[0] == 1].any()


def test_the_titles_judge_what_is_shown():
    image, mask = torch.rand(1, 12, 12), torch.ones(1, 12, 12)
    original, reconstruction, residual = _picture(image, (image - 0.1).clamp(0, 1), mask).panels
    assert original.title == "Original"
    squared = (image - (image - 0.1).clamp(0, 1)).square().mean()
    assert f"PSNR {-10 * float(squared.log10()):.2f} dB" in reconstruction.title
    assert f"{float(residual.image.mean()):.4f}" in residual.title


def test_an_empty_slice_has_a_picture():
    empty = torch.zeros(1, 12, 12)
    picture = _picture(empty, torch.rand(1, 12, 12), empty)
    assert picture.window[1] > picture.window[0]
    assert not any(panel.image.any() for panel in picture.panels)


def test_the_window_is_the_original_s():
    image, mask = torch.rand(1, 12, 12) / 2, torch.ones(1, 12, 12)
    assert _picture(image, torch.ones(1, 12, 12), mask).window == (0.0, float(image.max()))
