import numpy as np
import pytest
import torch

from data.geometry import ParallelGeometry
from models.blocks.fbp.ramp import frequency_bins
from models.blocks.fbp.window import FourierWindow, fixed_window, make_window
from protocol.errors import SettingsError

LODOPAB = ParallelGeometry.lodopab()
SMALL = ParallelGeometry.lodopab(angles=8, detectors=33, image_size=16)
FREQUENCIES = np.linspace(0, 1, 201)


@pytest.mark.parametrize(
    ("kind", "parameters"), [("full", 513_000), ("per_frequency", 513), ("fourier", 101)]
)
def test_a_full_size_window_has_the_published_number_of_parameters(kind, parameters):
    window = make_window(kind, LODOPAB, harmonics=50)
    assert sum(weight.numel() for weight in window.parameters()) == parameters
    assert sum(weight.numel() for weight in window.state_dict().values()) == parameters


@pytest.mark.parametrize("harmonics", [1, 10, 32])
def test_a_fourier_window_has_two_parameters_a_harmonic_and_one(harmonics):
    window = make_window("fourier", SMALL, harmonics=harmonics)
    assert sum(weight.numel() for weight in window.parameters()) == 2 * harmonics + 1


def test_fixed_windows_have_their_textbook_values():
    half = np.array([0.0, 0.5, 1.0])
    assert fixed_window("ones", half) == pytest.approx([1, 1, 1])
    assert fixed_window("hann", half) == pytest.approx([1, 0.5, 0])
    assert fixed_window("cosine", half) == pytest.approx([1, np.sqrt(0.5), 0])
    assert fixed_window("shepp_logan", half) == pytest.approx(
        [1, np.sin(np.pi / 4) / (np.pi / 4), 2 / np.pi]
    )


@pytest.mark.parametrize("name", ["ones", "hann", "shepp_logan", "cosine"])
@pytest.mark.parametrize("scaling", [0.4, 0.7, 1.0])
def test_scaling_squeezes_a_window_and_leaves_nothing_above_the_cut_off(name, scaling):
    scaled = fixed_window(name, FREQUENCIES, scaling)
    below = FREQUENCIES - scaling <= 1e-9
    assert scaled[below] == pytest.approx(fixed_window(name, FREQUENCIES[below] / scaling))
    assert np.all(scaled[~below] == 0)


@pytest.mark.parametrize("kind", ["full", "per_frequency", "fourier"])
@pytest.mark.parametrize("initial", ["hann", "shepp_logan", "cosine", "ones"])
def test_every_kind_starts_at_its_initial_window(kind, initial):
    value = make_window(kind, SMALL, harmonics=16, initial=initial)()
    expected = fixed_window(initial, np.linspace(0, 1, frequency_bins(33)))
    assert value.shape == ((8, len(expected)) if kind == "full" else (len(expected),))
    tolerance = 0.02 if kind == "fourier" else 2e-3  # a series cut off, knots interpolated
    expected = np.broadcast_to(expected, value.shape)
    np.testing.assert_allclose(value.detach(), expected, atol=tolerance)


@pytest.mark.parametrize("kind", ["full", "per_frequency"])
def test_one_weight_moves_only_the_frequencies_next_to_it(kind):
    window = make_window(kind, SMALL)
    with torch.no_grad():
        window.weight[..., 10] += 1
    moved = (window() - 1).detach().reshape(-1, frequency_bins(33))[0]
    frequency = torch.linspace(0, 1, frequency_bins(33))
    near = (frequency - 10 / 32).abs() < 1 / 32
    assert torch.all(moved[near] > 0)
    assert torch.allclose(moved[~near], torch.zeros(()), atol=1e-6)


def test_a_fourier_window_is_its_series_at_the_padded_frequencies():
    window = FourierWindow(np.ones(33), harmonics=3)
    with torch.no_grad():
        window.coefficients.copy_(torch.tensor([0.5, 0.1, 0.0, -0.2, 0.0, 0.3, 0.0]))
    f = np.linspace(0, 1, frequency_bins(33))
    expected = 0.5 + 0.1 * np.cos(np.pi * f) - 0.2 * np.cos(3 * np.pi * f)
    expected += 0.3 * np.sin(2 * np.pi * f)
    np.testing.assert_allclose(window().detach(), expected, atol=1e-6)


def test_a_window_first_used_in_inference_mode_can_still_be_trained():
    scan = ParallelGeometry.lodopab(angles=4, detectors=29, image_size=8)
    for kind in ("full", "fourier"):
        window = make_window(kind, scan, harmonics=7)
        with torch.inference_mode():
            window()
        window().sum().backward()
        assert all(weight.grad is not None for weight in window.parameters())


@pytest.mark.parametrize("scaling", [0.0, -0.5, 1.01, float("nan")])
def test_a_scaling_outside_its_range_is_refused(scaling):
    with pytest.raises(SettingsError, match="frequency_scaling must be in"):
        make_window("full", SMALL, frequency_scaling=scaling)


def test_an_unknown_window_is_refused_naming_the_known_ones():
    with pytest.raises(SettingsError, match="'hamming'; known are ones, hann"):
        fixed_window("hamming", FREQUENCIES)


def test_more_harmonics_than_frequencies_are_refused():
    with pytest.raises(SettingsError, match="below the detector's 33 cells, found 33"):
        make_window("fourier", SMALL, harmonics=33)
