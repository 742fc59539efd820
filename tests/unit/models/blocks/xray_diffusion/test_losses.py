import pytest
import torch

from models.blocks.diffusion.scale import Scale
from models.blocks.diffusion.schedule import NoiseSchedule
from models.blocks.images.volume_metrics import similarity
from models.blocks.xray_diffusion.losses import PhasedLoss, spectral_error
from models.blocks.xray_diffusion.network.output import Output

SCHEDULE = NoiseSchedule("linear", 1000)


def loss(*weights, kind="epsilon"):
    return PhasedLoss(
        reading=Output(kind=kind, schedule=SCHEDULE),
        mse_until=2,
        l1_until=4,
        weights=weights or (1.0, 1.0, 1.0),
    )


def case(batch=2):
    generator = torch.Generator().manual_seed(0)
    shape = (batch, 1, 12, 12, 12)
    clean = torch.rand(shape, generator=generator) * 2 - 1
    noise = torch.randn(shape, generator=generator)
    timesteps = torch.arange(batch) * 40 + 20
    noisy = SCHEDULE.add_noise(clean, noise, timesteps)
    targets = {"target": noise, "noisy": noisy, "clean": clean, "timesteps": timesteps}
    output = noise + 0.3 * torch.randn(shape, generator=generator)
    return output, targets


@pytest.mark.parametrize(
    ("epoch", "names"),
    [(1, {"mse"}), (2, {"mse"}), (3, {"l1"}), (4, {"l1"}), (5, {"l1", "ssim", "fft"})],
)
def test_epochs_are_trained_by_the_terms_of_their_phase(epoch, names):
    output, targets = case()
    assert loss().terms(epoch, output, targets).keys() == names


def test_each_term_is_what_it_is_called():
    output, targets = case()
    error = output - targets["target"]
    assert loss().terms(1, output, targets)["mse"] == pytest.approx(float(error.square().mean()))
    assert loss().terms(3, output, targets)["l1"] == pytest.approx(float(error.abs().mean()))
    x0 = SCHEDULE.x0_from_epsilon(targets["noisy"], output, targets["timesteps"])
    alike = similarity(((x0 + 1) / 2).clamp(0, 1), (targets["clean"] + 1) / 2)
    kept = SCHEDULE.alphas_cumprod[targets["timesteps"]].sqrt()
    expected = float((kept * (1 - alike)).mean())
    assert loss(0, 1, 0).terms(9, output, targets)["ssim"] == pytest.approx(expected, rel=1e-4)
    spectra = [
        torch.fft.fftn(volume, dim=(2, 3, 4), norm="ortho").abs()[..., :7]
        for volume in (output, targets["target"])
    ]
    expected = float((spectra[0] - spectra[1]).abs().mean())
    assert loss(0, 0, 1).terms(9, output, targets)["fft"] == pytest.approx(expected, rel=1e-4)


def test_weights_count_by_their_share():
    output, targets = case()
    single = [
        next(iter(loss(*alone).terms(9, output, targets).values()))
        for alone in ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    ]
    found = loss(0.2, 0.6, 1.2).terms(9, output, targets)
    for (name, term), whole, share in zip(found.items(), single, (0.1, 0.3, 0.6), strict=True):
        assert float(term) == pytest.approx(share * float(whole), rel=1e-5), name


def test_a_weight_of_zero_leaves_its_term_out():
    output, targets = case()
    assert loss(1, 0, 0).terms(9, output, targets).keys() == {"l1"}
    assert loss(0, 1, 1).terms(9, output, targets).keys() == {"ssim", "fft"}


def test_a_perfect_output_costs_nothing():
    _, targets = case()
    for epoch in (1, 3, 9):
        for term in loss().terms(epoch, targets["target"], targets).values():
            assert float(term) == pytest.approx(0, abs=2e-3)


@pytest.mark.parametrize("epoch", [1, 3, 9])
def test_terms_are_means_over_samples_so_that_micro_batches_change_nothing(epoch):
    output, targets = case(batch=4)
    whole = loss().terms(epoch, output, targets)
    parts = [
        loss().terms(epoch, output[part], {name: value[part] for name, value in targets.items()})
        for part in (slice(0, 1), slice(1, 4))
    ]
    for name, term in whole.items():
        expected = (parts[0][name] + 3 * parts[1][name]) / 4
        assert float(term) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("kind", ["epsilon", "velocity"])
def test_gradients_are_finite_and_bounded_at_every_level_of_noise(kind):
    """x̂_0 of the last time step is off by 157 times the error of ε̂."""
    _, targets = case()
    norms = []
    for timestep in (0, 300, 600, 999):
        when = torch.full((2,), timestep)
        noisy = SCHEDULE.add_noise(targets["clean"], targets["target"], when)
        output = (targets["target"] + 0.01).requires_grad_()
        own = targets | {"noisy": noisy, "timesteps": when}
        loss(0, 1, 0, kind=kind).terms(9, output, own)["ssim"].backward()
        assert torch.isfinite(output.grad).all()
        norms.append(float(output.grad.norm()))
    assert max(norms) < 1


def test_white_noise_has_spectra_of_the_same_height_whatever_the_patch():
    heights = [
        float(spectral_error(torch.zeros(1, 1, n, n, n), torch.randn(1, 1, n, n, n)))
        for n in (8, 16, 32)
    ]
    assert heights == pytest.approx([0.886] * 3, rel=0.05)  # √π/2, the mean of Rayleigh's


def test_mixed_precision_leaves_the_loss_in_single_precision():
    output, targets = case()
    expected = loss().terms(9, output, targets)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = loss().terms(9, output, targets)
    for name, term in found.items():
        assert torch.equal(term, expected[name])


def test_an_unnormalised_fourier_term_is_the_root_of_the_number_of_voxels_times_as_much():
    predicted, noise = torch.randn(2, 1, 1, 8, 8, 8)
    ortho = spectral_error(predicted, noise)
    assert spectral_error(predicted, noise, "none") == pytest.approx(
        float(ortho) * 8**1.5, rel=1e-5
    )


def test_a_volume_in_0_to_1_is_compared_as_it_is():
    output, targets = case()
    targets["clean"] = (targets["clean"] + 1) / 2
    targets["noisy"] = SCHEDULE.add_noise(targets["clean"], targets["target"], targets["timesteps"])
    unit = PhasedLoss(
        reading=Output(kind="epsilon", schedule=SCHEDULE, scale=Scale("unit")),
        mse_until=0,
        l1_until=0,
        weights=(0.0, 1.0, 0.0),
    )
    x0 = SCHEDULE.x0_from_epsilon(targets["noisy"], output, targets["timesteps"])
    alike = similarity(x0.clamp(0, 1), targets["clean"])
    kept = SCHEDULE.alphas_cumprod[targets["timesteps"]].sqrt()
    expected = float((kept * (1 - alike)).mean())
    assert unit.terms(1, output, targets)["ssim"] == pytest.approx(expected, rel=1e-5)
