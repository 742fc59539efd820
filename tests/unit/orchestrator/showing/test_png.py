import io

import matplotlib.image
import numpy as np

from orchestrator.showing.png import colours, difference_png, grey_png

VALUES = np.array([[0.0, 0.5, 1.0], [-3.0, np.nan, 9.0]])


def read(png):
    image = matplotlib.image.imread(io.BytesIO(png))
    if image.ndim == 2:
        return np.rint(255 * image).astype(int)
    return np.rint(255 * image[..., :3]).astype(int)


def test_greys_go_from_the_windows_bottom_to_its_top():
    image = read(grey_png(VALUES, (0.0, 1.0)))
    assert image.tolist() == [[0, 128, 255], [0, 255, 255]]


def test_a_narrow_window_stretches_and_an_empty_one_does_not_fail():
    assert read(grey_png(VALUES, (0.25, 0.75)))[0].tolist() == [0, 128, 255]
    assert read(grey_png(VALUES, (1.0, 1.0)))[0, 0] == 0


def test_differences_are_blue_below_red_above_and_white_at_nought():
    image = read(difference_png(np.array([[-2.0, -1.0, 0.0, 1.0, np.nan]]), 1.0))[0]
    below, low, nought, high, unknown = image.tolist()
    assert below == low == [5, 48, 97]
    assert high == [103, 0, 31]
    assert min(nought) > 240
    assert unknown == nought
    assert colours().startswith("linear-gradient(to right, #053061")
