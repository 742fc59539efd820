import math
from dataclasses import replace

import pytest
import torch

from data.geometry import ParallelGeometry
from models.blocks.fbp.fbp import FilteredBackprojection, fixed_window_fbp
from models.blocks.fbp.window import make_window
from protocol.errors import DataError

LODOPAB = ParallelGeometry.lodopab(angles=200, detectors=181, image_size=128)
GEOMETRIES = {
    "symmetric": LODOPAB,
    "general": replace(LODOPAB, angles=201, angle_step=math.pi / 201),
    "full turn": replace(LODOPAB, angles=400),
}


@pytest.fixture(params=GEOMETRIES.values(), ids=GEOMETRIES.keys())
def scan(request, disc_scan):
    return disc_scan(request.param)


def test_an_off_centre_disc_comes_back_at_its_place_and_value(scan):
    image = fixed_window_fbp(scan.sinogram, scan.geometry)[0, 0]
    assert image[scan.inside].mean().item() == pytest.approx(0.8, abs=0.002)
    assert image[scan.outside].mean().item() == pytest.approx(0.0, abs=0.001)
    assert (image[scan.inside] - 0.8).abs().max() < 0.1
    assert image[scan.outside].abs().max() < 0.1


def test_a_limited_angle_scan_is_weighted_by_its_own_step(disc_scan):
    whole = disc_scan(LODOPAB)
    half = replace(LODOPAB, angles=100)  # the first half of the same angles
    first = fixed_window_fbp(whole.sinogram[:, :, :100], half)
    second = fixed_window_fbp(
        whole.sinogram[:, :, 100:], replace(half, first_angle=float(LODOPAB.angle_values[100]))
    )
    torch.testing.assert_close(first + second, fixed_window_fbp(whole.sinogram, LODOPAB))


def test_a_low_pass_window_smooths_and_keeps_the_scale(disc_scan):
    scan = disc_scan(LODOPAB)
    noisy = scan.sinogram + 2e-3 * torch.randn(
        scan.sinogram.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    ram_lak = fixed_window_fbp(noisy, LODOPAB)[0, 0]
    hann = fixed_window_fbp(noisy, LODOPAB, "hann", 0.6)[0, 0]
    assert hann[scan.inside].std() < 0.4 * ram_lak[scan.inside].std()
    assert hann[scan.inside].mean().item() == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize("kind", ["full", "per_frequency"])
def test_the_untrained_model_is_ram_lak(disc_scan, kind):
    scan = disc_scan(LODOPAB)
    model = FilteredBackprojection(LODOPAB, make_window(kind, LODOPAB))
    sinogram = scan.sinogram.float()
    torch.testing.assert_close(model(sinogram), fixed_window_fbp(sinogram, LODOPAB))


@pytest.mark.parametrize("kind", ["full", "per_frequency", "fourier"])
def test_the_model_s_state_is_the_window_alone_before_and_after_use(kind):
    geometry = ParallelGeometry.lodopab(angles=8, detectors=33, image_size=16)
    model = FilteredBackprojection(geometry, make_window(kind, geometry, harmonics=9))
    before = {name: value.shape for name, value in model.state_dict().items()}
    model(torch.randn(2, 1, 8, 33)).sum().backward()
    after = {name: value.shape for name, value in model.state_dict().items()}
    assert before == after
    assert list(before) == [name for name, _ in model.window.named_parameters(prefix="window")]


@pytest.mark.parametrize("limited", [False, True], ids=["symmetric", "general"])
def test_the_window_s_gradient_through_the_whole_reconstruction_is_right(limited):
    geometry = ParallelGeometry.lodopab(angles=4, detectors=7, image_size=5)
    geometry = replace(geometry, angle_step=0.2) if limited else geometry
    model = FilteredBackprojection(geometry, make_window("full", geometry))
    sinogram, direction = torch.randn(2, 1, 4, 7), torch.randn(4, 7)
    target = torch.randn(2, 1, 5, 5)

    def loss(step):
        with torch.no_grad():
            model.window.weight.add_(step * direction)
        value = (model(sinogram) * target).sum()
        with torch.no_grad():
            model.window.weight.sub_(step * direction)
        return value

    loss(0.0).backward()
    analytic = (model.window.weight.grad * direction).sum().item()
    # The reconstruction is linear in the window, so a wide step makes no error.
    numeric = (loss(1.0) - loss(-1.0)).item() / 2
    assert analytic == pytest.approx(numeric, rel=1e-3, abs=1e-3)


def test_mixed_precision_leaves_the_reconstruction_in_float32():
    geometry = ParallelGeometry.lodopab(angles=8, detectors=33, image_size=16)
    model = FilteredBackprojection(geometry, make_window("per_frequency", geometry))
    sinogram = torch.randn(2, 1, 8, 33)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = model(sinogram)
    assert mixed.dtype == torch.float32
    assert torch.equal(mixed, model(sinogram))


def test_astra_s_projections_of_an_image_are_reconstructed_to_that_image():
    astra = pytest.importorskip("astra", reason="needs the ASTRA toolbox")
    geometry = ParallelGeometry.lodopab(angles=180, detectors=181, image_size=128)
    image = torch.zeros(128, 128)
    image[20:60, 70:90] = 1.0
    image[80:100, 30:110] = 0.5
    image = torch.nn.functional.avg_pool2d(image[None, None], 5, stride=1, padding=2)[0, 0]
    cell = geometry.cell_width / geometry.pixel_width
    volume = astra.create_vol_geom(128, 128)
    scan = astra.create_proj_geom("parallel", cell, 181, geometry.angle_values)
    projector = astra.create_projector("linear", scan, volume)
    # ASTRA's x runs along columns and its y against rows; here x runs along rows.
    identifier, sinogram = astra.create_sino(image.T.flip(0).numpy(), projector)
    astra.data2d.delete(identifier)
    astra.projector.delete(projector)
    integrals = torch.from_numpy(sinogram.copy())[None, None] * geometry.pixel_width
    found = fixed_window_fbp(integrals, geometry)[0, 0]
    assert (found - image).norm() / image.norm() < 0.03


def test_a_misshapen_sinogram_is_refused():
    with pytest.raises(DataError, match="the geometry needs"):
        fixed_window_fbp(torch.zeros(1, 1, 3, 3), LODOPAB)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("kind", ["full", "per_frequency", "fourier"])
def test_cuda_trains_the_window_as_the_cpu_does(disc_scan, kind):
    scan = disc_scan(LODOPAB)
    model = FilteredBackprojection(LODOPAB, make_window(kind, LODOPAB))
    twin = FilteredBackprojection(LODOPAB, make_window(kind, LODOPAB)).cuda()
    sinogram, target = scan.sinogram.float(), scan.image.float()
    torch.nn.functional.mse_loss(model(sinogram), target).backward()
    torch.nn.functional.mse_loss(twin(sinogram.cuda()), target.cuda()).backward()
    for weight, other in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(other.grad.cpu(), weight.grad, rtol=1e-3, atol=1e-6)
