from dataclasses import replace

import numpy as np
import pytest

from models.blocks.anomaly.evaluation.lesion_picture import lesion_picture, slice_to_show


def test_the_slice_with_most_lesion_is_shown_then_with_most_found_then_with_most_brain(volume):
    nothing = np.zeros_like(volume.mask)
    found = nothing.copy()
    found[1, 5, 5] = True
    mask = volume.mask.copy()
    mask[4, 0] = True
    healthy = replace(volume, segmentation=nothing, mask=mask)
    assert slice_to_show(volume, found) == 3
    assert slice_to_show(healthy, found) == 1
    assert slice_to_show(healthy, nothing) == 4


def test_truth_and_what_was_found_are_outlined_on_the_slice(volume):
    found = volume.segmentation.copy()
    found[3, 6] = False
    anomaly = volume.segmentation * np.float32(0.4)
    picture = lesion_picture(
        volume, volume.image * 0.5, anomaly, found, threshold=0.1, title="Best"
    )
    slice_, reconstruction, residual, outlined = picture.panels
    assert np.array_equal(slice_.image, volume.image[3])
    assert np.array_equal(reconstruction.image, volume.image[3] * 0.5)
    assert np.array_equal(residual.image, anomaly[3])
    assert residual.window == pytest.approx((0.0, 0.4))
    assert np.array_equal(outlined.outlines["lime"], volume.segmentation[3])
    assert np.array_equal(outlined.outlines["red"], found[3])
    assert picture.title.startswith("Best\nslice 3")
