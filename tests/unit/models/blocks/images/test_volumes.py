import pytest
import torch

from models.blocks.images.volumes import volume_scores


def test_scores_are_at_the_windows_own_data_range():
    target = torch.full((1, 12, 12, 12), 0.5)
    found = volume_scores(target + 0.1, target, (-1024, 1500))
    assert found["mae_hu"] == pytest.approx(252.4, rel=1e-4)
    assert found["psnr"] == pytest.approx(20, abs=1e-3)
    assert volume_scores(target, target, (-1024, 1500))["ssim"] == pytest.approx(1, abs=1e-4)
