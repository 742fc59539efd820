import math
import subprocess
import sys
import textwrap
from dataclasses import replace

import numpy as np
import pytest
import torch

from data.geometry import ParallelGeometry
from models.blocks.fbp.backprojection import backproject
from protocol.errors import DataError

SYMMETRIC = ParallelGeometry.lodopab(angles=24, detectors=37, image_size=26)
GEOMETRIES = {
    "symmetric": SYMMETRIC,
    "odd image": replace(SYMMETRIC, image_size=27),
    "angles not by four": ParallelGeometry.lodopab(angles=10, detectors=16, image_size=12),
    "limited angle": replace(SYMMETRIC, first_angle=0.2, angle_step=0.05),
    "full turn, clockwise": replace(SYMMETRIC, first_angle=3.0, angle_step=-math.pi / 12),
    "short detector": replace(SYMMETRIC, detector_half_width=0.08),
    "one of each": ParallelGeometry.lodopab(angles=1, detectors=1, image_size=1),
}


@pytest.fixture(params=GEOMETRIES.values(), ids=GEOMETRIES.keys())
def geometry(request):
    return request.param


def random_sinogram(geometry, *, batch=2, dtype=torch.float64):
    return torch.randn(batch, 1, geometry.angles, geometry.detectors, dtype=dtype)


def straightforward(sinogram, geometry):
    """The definition, pixel by pixel: np.interp on a detector with an empty cell at both ends."""
    cells = (np.arange(-1, geometry.detectors + 1) + 0.5) * geometry.cell_width
    cells = cells - geometry.detector_half_width
    pixels = (np.arange(geometry.image_size) + 0.5) * geometry.pixel_width
    x, y = np.meshgrid(*[pixels - geometry.image_half_width] * 2, indexing="ij")
    image = np.zeros((sinogram.shape[0], *x.shape))
    for k, angle in enumerate(geometry.angle_values):
        s = x * np.cos(angle) + y * np.sin(angle)
        for b, projection in enumerate(sinogram[:, 0, k].numpy()):
            image[b] += np.interp(s, cells, np.pad(projection, 1), left=0.0, right=0.0)
    return torch.from_numpy(image).unsqueeze(1)


def test_each_pixel_is_the_sum_of_its_interpolated_readings(geometry):
    sinogram = random_sinogram(geometry)
    torch.testing.assert_close(backproject(sinogram, geometry), straightforward(sinogram, geometry))


@pytest.mark.parametrize("use_symmetry", [True, False], ids=["fast", "general"])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)], ids=["f64", "f32"]
)
def test_the_gradient_is_the_exact_transpose(geometry, dtype, tolerance, use_symmetry):
    x = random_sinogram(geometry, dtype=dtype).requires_grad_()
    image = backproject(x, geometry, use_symmetry=use_symmetry)
    y = torch.randn_like(image)
    (transposed,) = torch.autograd.grad(image, x, y)
    with torch.no_grad():
        left, right = (image * y).double(), (x * transposed).double()
    scale = left.abs().sum().item() + 1e-300
    assert abs(left.sum().item() - right.sum().item()) / scale < tolerance


def test_gradcheck_on_a_tiny_geometry():
    tiny = ParallelGeometry.lodopab(angles=4, detectors=5, image_size=4)
    x = random_sinogram(tiny, batch=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: backproject(s, tiny), x)
    limited = replace(tiny, angle_step=0.1)
    assert torch.autograd.gradcheck(lambda s: backproject(s, limited), x)


def test_the_fast_way_equals_the_general_one():
    for batch in (1, 2, 5):
        x = random_sinogram(SYMMETRIC, batch=batch)
        torch.testing.assert_close(
            backproject(x, SYMMETRIC), backproject(x, SYMMETRIC, use_symmetry=False)
        )


def test_an_image_does_not_depend_on_the_others_in_its_batch():
    x = random_sinogram(SYMMETRIC, batch=5, dtype=torch.float32)
    together = backproject(x, SYMMETRIC)
    for index in range(5):
        assert torch.equal(together[index], backproject(x[index : index + 1], SYMMETRIC)[0])


def test_a_sinogram_of_another_shape_is_refused_with_both_shapes():
    with pytest.raises(DataError, match=r"\(2, 1, 23, 37\).*\(batch, 1, 24, 37\)"):
        backproject(torch.zeros(2, 1, 23, 37), SYMMETRIC)
    with pytest.raises(DataError, match="must be float32 or float64"):
        backproject(torch.zeros(2, 1, 24, 37, dtype=torch.float16), SYMMETRIC)


def test_importing_starts_nothing_and_forked_children_compute_what_their_parent_does():
    program = """
        import os, threading, torch
        from data.geometry import ParallelGeometry
        from models.blocks.fbp.fbp import fixed_window_fbp
        import models.blocks.fbp.lerp as lerp

        assert threading.active_count() == 1
        assert not torch.cuda.is_initialized()
        lerp.MIN_THREADED_WORK = 0
        torch.set_num_threads(2)
        geometry = ParallelGeometry.lodopab(angles=24, detectors=37, image_size=26)

        def digest():
            generator = torch.Generator().manual_seed(0)
            x = torch.randn(2, 1, 24, 37, generator=generator, requires_grad=True)
            image = fixed_window_fbp(x, geometry)
            image.square().sum().backward()
            return image.detach().numpy().tobytes() + x.grad.numpy().tobytes()

        read, write = os.pipe()
        if os.fork() == 0:
            os.write(write, digest())
            os._exit(0)
        _, status = os.wait()
        assert status == 0
        os.close(write)
        child = os.fdopen(read, "rb").read()
        assert child == digest()
        assert threading.active_count() == 1
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


def test_astra_agrees_on_orientation_and_scale():
    astra = pytest.importorskip("astra", reason="needs the ASTRA toolbox")
    geometry = ParallelGeometry.lodopab(angles=60, detectors=91, image_size=64)
    sinogram = smooth_sinogram(geometry)
    pixel, cell = 1.0, geometry.cell_width / geometry.pixel_width  # ASTRA's unit is a pixel
    volume = astra.create_vol_geom(geometry.image_size, geometry.image_size)
    scan = astra.create_proj_geom("parallel", cell, geometry.detectors, geometry.angle_values)
    projector = astra.create_projector("linear", scan, volume)
    identifier, theirs = astra.create_backprojection(sinogram[0, 0].numpy(), projector)
    astra.data2d.delete(identifier)
    astra.projector.delete(projector)
    # ASTRA's x runs along columns and its y against rows; here x runs along rows.
    theirs = torch.from_numpy(theirs.copy()).flip(0).T * cell / pixel**2
    ours = backproject(sinogram, geometry)[0, 0]
    # Its transpose weighs a pixel by the rays that meet it, so the two differ by their ripple.
    ripple = (ours - theirs).norm() / ours.norm()
    assert ripple < 0.02
    assert (ours.flip(0) - theirs).norm() / ours.norm() > 0.2


def smooth_sinogram(geometry):
    """Wide Gaussian bumps along an off-centre point's sine curve, (1, 1, A, D) float32."""
    s = (np.arange(geometry.detectors) + 0.5) * geometry.cell_width - geometry.detector_half_width
    phi = geometry.angle_values[:, None]
    curve = 0.06 * np.cos(phi) - 0.03 * np.sin(phi)
    bumps = np.exp(-0.5 * ((s - curve) / 0.02) ** 2)
    return torch.from_numpy(bumps)[None, None].float()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["f32", "f64"])
def test_cuda_gives_what_the_cpu_gives_and_its_gradient(geometry, dtype):
    x = random_sinogram(geometry, dtype=dtype).requires_grad_()
    on_gpu = x.detach().cuda().requires_grad_()
    image, other = backproject(x, geometry), backproject(on_gpu, geometry)
    y = torch.randn_like(image)
    image.backward(y)
    other.backward(y.cuda())
    torch.testing.assert_close(other.cpu(), image)
    torch.testing.assert_close(on_gpu.grad.cpu(), x.grad)
