"""What `infer` shows of its result."""

import numpy as np
import torch

from models.family import Volume
from worker.calls.volume_picture import inferred_picture
from worker.training.pictures import draw


def test_the_views_stand_before_the_middle_planes_with_square_pixels(tmp_path):
    hu = np.random.default_rng(0).normal(0, 300, (4, 6, 8)).astype(np.float32)
    xrays = torch.rand(2, 5, 5)
    volume = Volume(hu=hu, voxel_size=(3.0, 1.0, 0.5))
    picture = inferred_picture(xrays, volume, "ct.nii.gz")
    front, lateral, axial, coronal, sagittal = picture.panels
    assert [panel.window for panel in (front, lateral)] == [(0.0, 1.0)] * 2
    np.testing.assert_array_equal(lateral.image, xrays[1].numpy())
    assert axial.image.shape == (12, 8)  # 6 × 8 mm² pixels of 1 × 0.5
    assert coronal.image.shape == (24, 8)
    assert sagittal.image.shape == (12, 6)
    assert picture.title == "ct.nii.gz, -1000 to 1000 HU"
    draw(picture, tmp_path / "ct.png")
    assert (tmp_path / "ct.png").stat().st_size > 1000


def test_planes_of_equal_sides_are_shown_as_they_are():
    hu = np.random.default_rng(0).normal(0, 300, (4, 4, 4)).astype(np.float32)
    picture = inferred_picture(torch.rand(2, 5, 5), Volume(hu=hu, voxel_size=(2.0,) * 3), "x")
    np.testing.assert_array_equal(picture.panels[2].image, hu[2])
    np.testing.assert_array_equal(picture.panels[3].image, hu[:, 2])
    np.testing.assert_array_equal(picture.panels[4].image, hu[:, :, 2])
