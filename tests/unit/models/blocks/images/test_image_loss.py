import piq
import pytest
import torch

from models.blocks.images.image_loss import l1_ms_ssim, ms_ssim
from protocol.errors import SettingsError


@pytest.fixture
def pair():
    torch.manual_seed(0)
    target = torch.nn.functional.interpolate(
        torch.rand(3, 1, 12, 12), size=192, mode="bicubic"
    ).clamp(0, 1)
    noise = torch.tensor([0.02, 0.1, 0.3]).view(3, 1, 1, 1)
    return (target + noise * torch.randn_like(target)).clamp(0, 1), target


@pytest.mark.parametrize(
    ("side", "scales"), [(192, 5), (176, 5), (160, 4), (64, 3), (32, 2), (16, 1), (11, 1)]
)
def test_it_is_piqs_at_as_many_scales_as_the_image_has_room_for(pair, side, scales):
    result, target = (image[..., :side, :side] for image in pair)
    weights = torch.tensor([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])[:scales]
    expected = piq.multi_scale_ssim(
        result, target, data_range=1.0, reduction="none", scale_weights=weights
    )
    torch.testing.assert_close(ms_ssim(result, target), expected, rtol=1e-6, atol=1e-6)


def test_an_image_narrower_than_the_window_is_refused_with_what_to_do():
    image = torch.rand(1, 1, 10, 40)
    with pytest.raises(SettingsError, match="11 pixels a side, found 10; choose mse or l1"):
        ms_ssim(image, image)


def test_equal_images_score_one_and_the_worse_the_less(pair):
    result, target = pair
    assert ms_ssim(target, target).tolist() == pytest.approx([1, 1, 1])
    best, middle, worst = ms_ssim(result, target).tolist()
    assert 1 > best > middle > worst > 0


def test_values_beyond_0_and_1_count_as_these(pair):
    result, target = pair
    torch.testing.assert_close(
        ms_ssim(3 * result - 1, target), ms_ssim((3 * result - 1).clamp(0, 1), target)
    )


def test_a_sample_that_is_not_finite_scores_nan_and_spoils_no_other(pair):
    result, target = pair
    result = result.clone()
    result[1, 0, 5, 5] = torch.nan
    scores = ms_ssim(result, target)
    assert torch.isnan(scores).tolist() == [False, True, False]


def test_a_scale_of_opposite_structures_does_not_silence_the_others(pair):
    """Its factor would be negative; taken as zero it would take every slope away."""
    smooth = 0.3 + 0.4 * pair[1]
    texture = 0.2 * torch.randn_like(smooth).sign()
    result = (smooth - texture).requires_grad_()
    l1_ms_ssim(result, smooth + texture)["ms_ssim"].backward()
    assert torch.isfinite(result.grad).all()
    assert result.grad.abs().amax(dim=(1, 2, 3)).min() > 0


def test_half_precision_does_not_change_it(pair):
    result, target = pair
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = ms_ssim(result, target)
    torch.testing.assert_close(mixed, ms_ssim(result, target))


def test_the_mixed_loss_is_of_both_terms_in_the_stated_shares(pair):
    result, target = pair
    terms = l1_ms_ssim(result, target)
    assert terms.keys() == {"ms_ssim", "l1"}
    torch.testing.assert_close(terms["l1"], 0.16 * (result - target).abs().mean())
    torch.testing.assert_close(terms["ms_ssim"], 0.84 * (1 - ms_ssim(result, target)).mean())
