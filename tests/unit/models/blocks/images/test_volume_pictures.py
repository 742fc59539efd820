"""What the pictures of volumes show, and from which side."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.blocks.images.volume_pictures import compare_volumes, middle_planes

WINDOW = (-1000.0, 1000.0)


@pytest.fixture
def target():
    return torch.rand(2, 1, 8, 10, 12, generator=torch.Generator().manual_seed(3))


def test_planes_show_the_head_or_the_front_above_and_the_right_or_the_front_on_the_left():
    volume = np.zeros((8, 10, 12), np.float32)
    volume[:, :5, :6] = 1  # front right
    volume[:4] += 2  # towards the head
    axial, coronal, sagittal = middle_planes(volume)
    assert axial.shape == (10, 12)
    assert coronal.shape == (8, 12)
    assert sagittal.shape == (8, 10)
    assert axial[0, 0] == 1
    assert axial[-1, 0] == axial[0, -1] == 0
    assert coronal[0].min() == 2
    assert coronal[-1].max() == 0
    assert sagittal[0].tolist() == sagittal[3].tolist() == [2] * 10


def test_every_plane_is_a_row_and_the_difference_its_last_panel(target):
    results = {"Trilinear": target * 0.8, "Result": target * 0.9}
    first, second = compare_volumes(["case_a", "case_b"], target, results, hu_window=WINDOW)
    assert (first.name, second.name) == ("case_a", "case_b")
    assert first.per_row == 4
    assert len(first.panels) == 12
    shapes = [panel.image.shape for panel in first.panels[::4]]
    assert shapes == [(10, 12), (8, 12), (8, 10)]
    assert [panel.difference for panel in first.panels] == [False, False, False, True] * 3
    for row in range(3):
        truth, _, result, difference = first.panels[4 * row : 4 * row + 4]
        np.testing.assert_allclose(result.image - truth.image, difference.image, atol=1e-2)


def test_panels_are_in_hounsfield_units_and_one_window(target):
    (picture,) = compare_volumes(["a"], target[:1], {"Result": target[:1]}, hu_window=WINDOW)
    assert picture.window == WINDOW
    expected = 2000 * target[0, 0, 4].numpy() - 1000
    np.testing.assert_allclose(picture.panels[0].image, expected, atol=1e-3)
    assert all(panel.window is None for panel in picture.panels)


def test_the_title_scores_every_result(target):
    (picture,) = compare_volumes(
        ["a"], target[:1], {"Old": target[:1] * 0 + 0.5, "New": target[:1]}, hu_window=WINDOW
    )
    _, old, new = picture.title.split("\n")
    assert old.startswith("Old: PSNR 10.")
    assert new == "New: PSNR 120.00 dB, SSIM 1.000, MAE 0.0 HU"
