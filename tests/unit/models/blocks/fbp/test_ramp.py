import numpy as np
import pytest
import torch

from data.geometry import ParallelGeometry
from models.blocks.fbp.ramp import filter_detector, frequency_bins, padded_length, ramp_response

GEOMETRY = ParallelGeometry.lodopab(angles=4, detectors=21, image_size=8)


@pytest.mark.parametrize("detectors", [1, 2, 37, 513, 1000, 1023])
def test_the_padded_length_is_even_and_at_least_twice_the_detector(detectors):
    length = padded_length(detectors)
    assert length % 2 == 0
    assert length >= 2 * detectors
    assert frequency_bins(detectors) == length // 2 + 1


def test_the_response_follows_the_frequency_and_is_positive_at_zero():
    width = GEOMETRY.cell_width
    response = ramp_response(513, width)
    frequency = np.linspace(0, 0.5 / width, len(response))  # cycles per metre
    assert response[1:] == pytest.approx(frequency[1:], rel=0.02, abs=0.002 / width)
    assert 0 < response[0] < response[1]


def test_filtering_is_the_linear_convolution_with_the_spatial_kernel():
    sinogram = torch.randn(2, 1, 4, 21, dtype=torch.float64)
    window = torch.ones(frequency_bins(21), dtype=torch.float64)
    found = filter_detector(sinogram, GEOMETRY, window)
    offset = np.arange(21)[:, None] - np.arange(21)
    kernel = np.where(offset % 2 == 1, -1 / (np.pi * np.where(offset == 0, 1, offset)) ** 2, 0.0)
    kernel[offset == 0] = 0.25
    expected = sinogram @ torch.from_numpy(kernel / GEOMETRY.cell_width)
    torch.testing.assert_close(found, expected)


def test_a_window_by_angle_filters_each_angle_with_its_own_row():
    sinogram = torch.randn(2, 1, 4, 21)
    window = torch.rand(4, frequency_bins(21))
    found = filter_detector(sinogram, GEOMETRY, window)
    for angle in range(4):
        alone = filter_detector(sinogram, GEOMETRY, window[angle])
        torch.testing.assert_close(found[:, :, angle], alone[:, :, angle])


@pytest.mark.parametrize("rows", [(), (4,)], ids=["shared window", "a window by angle"])
def test_the_gradients_of_the_sinogram_and_the_window_are_right(rows):
    sinogram = torch.randn(2, 1, 4, 21, dtype=torch.float64, requires_grad=True)
    window = torch.rand(*rows, frequency_bins(21), dtype=torch.float64, requires_grad=True)

    def filtered(sinogram, window):
        return filter_detector(sinogram, GEOMETRY, window)

    assert torch.autograd.gradcheck(filtered, (sinogram, window))
    assert torch.autograd.gradcheck(filtered, (sinogram.detach(), window))
    assert torch.autograd.gradcheck(filtered, (sinogram, window.detach()))
