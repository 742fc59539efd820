import numpy as np
import pytest

from data.physics.resample import resample_square, square_side


def ramp(rows: int, columns: int, spacing: tuple[float, float]) -> np.ndarray:
    """Each pixel is 100 + its distance right of and twice that below the middle, in mm."""
    down = (np.arange(rows) - (rows - 1) / 2) * spacing[0]
    right = (np.arange(columns) - (columns - 1) / 2) * spacing[1]
    return (100 + 2 * down[:, None] + right[None]).astype(np.float32)


def test_the_square_holds_the_longer_side():
    assert square_side((100, 50), (1.0, 3.0)) == 150


@pytest.mark.parametrize("size", [12, 40, 200])
@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.5, 2.0)])
def test_positions_keep_their_values_whatever_the_pixels(size, spacing):
    rows, columns = (80, 80) if spacing[0] == 1 else (160, 40)
    found = resample_square(ramp(rows, columns, spacing), spacing, 40.0, size)
    at = (np.arange(size) + 0.5) * 40 / size - 20
    inner = slice(size // 4, -size // 4)
    np.testing.assert_allclose(
        found[inner, inner], (100 + 2 * at[:, None] + at[None])[inner, inner], rtol=1e-4
    )


def test_outside_the_slice_is_air():
    found = resample_square(np.ones((10, 20), np.float32), (1.0, 1.0), 20.0, 40)
    assert found[:9].max() == found[-9:].max() == 0
    assert found[12:28, 2:-2].min() == pytest.approx(1)


def test_a_smaller_field_is_cut_from_the_middle():
    image = np.zeros((20, 20), np.float32)
    image[8:12, 8:12] = 1
    found = resample_square(image, (1.0, 1.0), 2.0, 8)
    assert found.min() == pytest.approx(1)


def test_fine_stripes_become_grey_and_not_coarse_stripes():
    stripes = np.tile(np.array([0, 1], np.float32), (300, 150))
    found = resample_square(stripes, (1.0, 1.0), 300.0, 43)
    assert found[5:-5, 5:-5] == pytest.approx(0.5, abs=0.02)
