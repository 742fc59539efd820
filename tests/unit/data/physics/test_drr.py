import numpy as np
import pytest
from scipy import ndimage

from data.physics.drr import ConeBeam, project

SIZE, EDGE = 64, 128.0  # voxels, mm
VOXEL = (EDGE / SIZE,) * 3
CENTRE, RADII = np.array([6.0, -10.0, 14.0]), np.array([30.0, 22.0, 38.0])
CONE = ConeBeam(source_isocentre=260.0, source_detector=400.0)


def places(size, edge=EDGE):
    return ((np.arange(size) + 0.5) / size - 0.5) * edge


@pytest.fixture(scope="module")
def ellipsoid():
    """1 inside, 0 outside, the share of each voxel that is inside on the border."""
    fine = places(SIZE * 3)
    d, h, w = np.meshgrid(*[fine] * 3, indexing="ij", sparse=True)
    inside = sum(((x - c) / r) ** 2 for x, c, r in zip((d, h, w), CENTRE, RADII, strict=True)) < 1
    parts = inside.reshape(SIZE, 3, SIZE, 3, SIZE, 3)
    return parts.mean(axis=(1, 3, 5), dtype=np.float32)


def chords(origins, directions, centre=CENTRE, radii=RADII):
    """Exact lengths of rays in the ellipsoid: (…, 3) both; directions need not be of length 1."""
    p, v = (origins - centre) / radii, directions / radii
    a, b, c = (v * v).sum(-1), (p * v).sum(-1), (p * p).sum(-1) - 1
    inside = np.maximum(b * b - a * c, 0)
    return 2 * np.sqrt(inside) / a * np.linalg.norm(directions, axis=-1)


def rays(axis, size, cone=None, shown=EDGE):
    """Origins and directions of the rays through the pixels' middles, which are (size, size)."""
    rows, columns = np.meshgrid(places(size, shown), places(size, shown), indexing="ij")
    plane = np.zeros((size, size, 3))
    others = [one for one in range(3) if one != axis]
    plane[..., others[0]], plane[..., others[1]] = rows, columns
    along = np.zeros(3)
    along[axis] = 1
    if cone is None:
        return plane, np.broadcast_to(along, plane.shape)
    source = -cone.source_isocentre * along
    return np.broadcast_to(source, plane.shape), plane - source


@pytest.mark.parametrize("beam", [None, CONE], ids=["parallel", "cone"])
@pytest.mark.parametrize("axis", [1, 2])
def test_line_integrals_of_an_ellipsoid_are_the_lengths_of_its_chords(ellipsoid, axis, beam):
    found = project(ellipsoid, SIZE, VOXEL, axis=axis, beam=beam)
    exact = chords(*rays(axis, SIZE, beam))
    inner = exact > 0.6 * exact.max()  # where a pixel's mean is nearly that of its middle ray
    assert inner.sum() > 200
    np.testing.assert_allclose(found[inner], exact[inner], rtol=0.03)
    assert abs((found - exact).mean()) < 0.05
    assert found[~ndimage.binary_dilation(exact > 0, iterations=2)].max() == 0


@pytest.mark.parametrize("beam", [None, CONE], ids=["parallel", "cone"])
def test_rays_through_a_box_are_as_long_as_it_is_deep(beam):
    box = np.zeros((SIZE,) * 3, dtype=np.float32)
    box[20:44, 10:50, 16:48] = 1
    found = project(box, SIZE, VOXEL, axis=1, beam=beam)
    _, directions = rays(1, SIZE, beam)
    depth = 80 * np.linalg.norm(directions, axis=-1) / np.abs(directions[..., 1])
    middle = np.s_[28:36, 26:38]  # whose rays enter in front and leave behind
    np.testing.assert_allclose(found[middle], depth[middle], rtol=2e-3)
    assert found[4, 4] == 0


def test_slanting_rays_of_a_cone_are_longer_than_straight_ones():
    near = ConeBeam(source_isocentre=160.0, source_detector=300.0)
    found = project(np.ones((SIZE,) * 3, dtype=np.float32), SIZE, VOXEL, axis=2, beam=near)
    _, directions = rays(2, SIZE, near)
    exact = EDGE * np.linalg.norm(directions, axis=-1) / directions[..., 2]
    inner = np.s_[12:-12, 12:-12]  # whose rays leave through the far face
    assert exact[inner].max() > 1.05 * EDGE
    np.testing.assert_allclose(found[inner], exact[inner], rtol=2e-4)


def test_a_front_view_has_slices_as_rows_and_left_on_the_right():
    volume = np.zeros((8, 8, 8), dtype=np.float32)
    volume[1, 2, 6] = 1  # high, in front, on the left
    front = project(volume, 8, (1.0,) * 3, axis=1)
    lateral = project(volume, 8, (1.0,) * 3, axis=2)
    assert np.argwhere(front).tolist() == [[1, 6]]
    assert np.argwhere(lateral).tolist() == [[1, 2]]
    assert front.max() == lateral.max() == 1


def test_a_cone_magnifies_what_is_nearer_to_its_source():
    volume = np.zeros((SIZE,) * 3, dtype=np.float32)
    volume[24:40, 4:8, 24:40] = 1
    volume[24:40, 56:60, 24:40] = 2
    image = project(volume, SIZE, VOXEL, axis=1, beam=CONE)
    near, far = ((image > 4).any(axis=0).sum(), (image > 12).any(axis=0).sum())
    assert near > 18  # of 16 voxels at a distance of 208 mm
    assert far < 16  # at 312 mm


def test_a_detector_of_another_width_shows_as_much_more(ellipsoid):
    wide = ConeBeam(source_isocentre=260.0, source_detector=390.0, detector_width=288.0)
    found = project(ellipsoid, SIZE, VOXEL, axis=1, beam=wide)
    exact = chords(*rays(1, SIZE, wide, shown=288.0 / 1.5))
    assert abs(found.mean() / exact.mean() - 1) < 0.01
    inner = exact > 0.6 * exact.max()
    np.testing.assert_allclose(found[inner], exact[inner], rtol=0.05)


def test_a_far_source_gives_parallel_rays(ellipsoid):
    far = ConeBeam(source_isocentre=1e6, source_detector=2e6)
    parallel = project(ellipsoid, 32, VOXEL, axis=2)
    cone = project(ellipsoid, 32, VOXEL, axis=2, beam=far)
    np.testing.assert_allclose(cone, parallel, atol=0.02)


@pytest.mark.parametrize("size", [16, 64, 96])
def test_the_mass_seen_does_not_depend_on_the_number_of_pixels(ellipsoid, size):
    image = project(ellipsoid, size, VOXEL, axis=1)
    assert image.sum() * (EDGE / size) ** 2 == pytest.approx(ellipsoid.sum() * 8, rel=2e-3)


def test_few_pixels_take_the_mean_over_all_voxels_they_cover():
    volume = np.zeros((16, 16, 16), dtype=np.float32)
    volume[:, 0, ::2] = 1
    image = project(volume, 4, (1.0,) * 3, axis=1)
    np.testing.assert_allclose(image[:, 1:-1], 0.5, atol=1e-6)


def test_voxels_need_not_be_cubes():
    volume = np.ones((4, 8, 16), dtype=np.float32)
    image = project(volume, 16, (4.0, 2.0, 1.0), axis=1)
    np.testing.assert_allclose(image[4:-4, 2:-2], 16, rtol=1e-6)


def test_a_source_inside_the_volume_is_refused(ellipsoid):
    beam = ConeBeam(source_isocentre=60.0, source_detector=400.0)
    with pytest.raises(ValueError, match="inside a volume 128 mm deep"):
        project(ellipsoid, 8, VOXEL, axis=1, beam=beam)
