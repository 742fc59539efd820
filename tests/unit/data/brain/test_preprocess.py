import dataclasses

import nibabel
import numpy as np
import pytest
import SimpleITK

from data.brain.lists import Case, lesion_cases
from data.brain.preprocess import preprocess
from data.brain.settings import BrainSettings
from data.brain.volume import read_upright, write_upright
from protocol.errors import DataError


@pytest.fixture
def case(tmp_path):
    """A cube of brain in a (16, 20, 24) volume of 1 mm; a lesion in its middle."""
    image = np.full((16, 20, 24), 300, dtype=np.float32)  # as bright outside, as skin is
    mask = np.zeros(image.shape, dtype=bool)
    mask[4:12, 4:16, 6:18] = True
    image[mask] = np.random.default_rng(0).uniform(100, 200, mask.sum())
    lesion = np.zeros_like(mask)
    lesion[6:10, 8:12, 10:14] = True
    return Written(tmp_path, image, mask, lesion).case


class Written:
    def __init__(self, folder, image, mask, lesion):
        paths = {}
        for name, values in {"image": image, "mask": mask, "segmentation": lesion}.items():
            paths[name] = folder / f"a_{name}.nii.gz"
            write_upright(paths[name], values, (1.0, 1.0, 1.0))
        self.case = Case(subject="a", dataset="Own", **paths)


def settings(**changes):
    chosen = {"root": ".", "crop": (20, 24, 16), "size": (10, 12, 8)}
    return BrainSettings(**(chosen | changes))


def test_a_volume_is_cropped_rescaled_in_its_mask_and_halved(case):
    found = preprocess(case, settings())
    assert found.image.shape == found.mask.shape == found.segmentation.shape == (8, 10, 12)
    assert found.voxel_size == pytest.approx((2, 2, 2))
    assert found.image.dtype == np.float32
    expected = np.zeros((8, 10, 12), dtype=bool)
    expected[2:6, 2:8, 3:9] = True
    assert np.array_equal(found.mask, expected)
    lesion = np.zeros_like(expected)
    lesion[3:5, 4:6, 5:7] = True
    assert np.array_equal(found.segmentation, lesion)
    assert not found.image[~found.mask].any()
    assert 0 <= found.image.min() < 0.3 < 0.7 < found.image.max() <= 1


def test_the_percentiles_inside_the_mask_become_0_and_1(case):
    found = preprocess(case, settings(size=(20, 24, 16), percentiles=(20, 80)))
    inside = found.image[found.mask]
    assert np.mean(inside == 0) == pytest.approx(0.2, abs=0.01)
    assert np.mean(inside == 1) == pytest.approx(0.2, abs=0.01)
    assert np.median(inside) == pytest.approx(0.5, abs=0.05)


def test_a_small_volume_is_padded_and_a_large_one_cropped_around_the_middle(case):
    wide = preprocess(case, settings(crop=(28, 32, 20), size=(28, 32, 20)))
    exact = preprocess(case, settings(size=(20, 24, 16)))
    assert np.array_equal(wide.image[2:-2, 4:-4, 4:-4], exact.image)
    narrow = preprocess(case, settings(crop=(12, 12, 8), size=(12, 12, 8)))
    assert narrow.mask.all()
    assert narrow.image.shape == (8, 12, 12)


def test_without_a_mask_all_that_is_above_zero_is_brain(case):
    found = preprocess(dataclasses.replace(case, mask=None), settings())
    assert found.mask.all()


def test_what_is_padded_is_no_brain_even_beside_brain(case):
    whole = dataclasses.replace(case, mask=None)
    found = preprocess(whole, settings(crop=(28, 32, 20), size=(28, 32, 20)))
    assert found.mask.sum() == 16 * 20 * 24
    assert found.mask[2:-2, 4:-4, 4:-4].all()


def test_nothing_of_what_is_outside_the_mask_runs_into_the_brain(case):
    before = preprocess(case, settings())
    values = read_upright(case.image).values
    values[read_upright(case.mask).values == 0] = 0
    write_upright(case.image, values, (1.0, 1.0, 1.0))
    after = preprocess(case, settings())
    assert np.allclose(before.image, after.image, atol=1e-3)


def test_without_a_segmentation_there_are_no_lesions(case):
    found = preprocess(dataclasses.replace(case, segmentation=None), settings())
    assert not found.segmentation.any()


def test_the_image_of_a_lesion_stays_over_its_segmentation(made_brains):
    case = lesion_cases(made_brains, "Synthetic", "test", "t2")[0]
    chosen = settings(crop=(32, 32, 16), size=(16, 16, 8))
    found = preprocess(case, chosen)
    lesion, rest = found.segmentation, found.mask & ~found.segmentation
    shifted = np.roll(lesion, 4, axis=2) & rest
    assert abs(found.image[lesion].mean() - np.median(found.image[rest])) > abs(
        found.image[shifted].mean() - np.median(found.image[rest])
    )


@pytest.mark.parametrize("kind", ["mask", "segmentation"])
def test_labels_on_another_grid_are_put_where_their_header_says(case, kind):
    """Cut, turned and moved by whole voxels: the same place in the patient."""
    expected = getattr(preprocess(case, settings()), kind)
    path = getattr(case, kind)
    image = nibabel.loadsave.load(path)
    cut = image.slicer[2:, :, 1:]
    turned = cut.as_reoriented(nibabel.orientations.axcodes2ornt(("P", "I", "R")))
    nibabel.loadsave.save(turned, path)
    found = getattr(preprocess(case, settings()), kind)
    assert np.mean(found != expected) < 0.03, "all but what was cut off"
    assert found.any()


@pytest.mark.parametrize("kind", ["mask", "segmentation"])
def test_labels_that_lie_beside_their_image_are_refused(case, kind):
    path = getattr(case, kind)
    image = nibabel.loadsave.load(path)
    affine = image.affine.copy()
    affine[0, 3] += 500
    nibabel.loadsave.save(nibabel.nifti1.Nifti1Image(np.asarray(image.dataobj), affine), path)
    with pytest.raises(DataError, match=rf"a_{kind}.* lies beside .*a_image"):
        preprocess(case, settings())


def test_an_empty_mask_a_flat_image_and_bad_numbers_are_one_sentence(case):
    write_upright(case.mask, np.zeros((16, 20, 24), dtype=bool), (1.0, 1.0, 1.0))
    with pytest.raises(DataError, match=r"a_mask.*: no brain is left inside the crop"):
        preprocess(case, settings())
    flat = dataclasses.replace(case, mask=None)
    write_upright(case.image, np.ones((16, 20, 24), dtype=np.uint8), (1.0, 1.0, 1.0))
    with pytest.raises(DataError, match=r"a_image.*: nearly all of the brain has the value 1"):
        preprocess(flat, settings())


def test_curvature_flow_smooths_a_volume_as_simpleitk_does_on_reading_its_file(case, tmp_path):
    read = SimpleITK.ReadImage(str(case.image), SimpleITK.sitkFloat32)
    flown = SimpleITK.CurvatureFlow(image1=read, timeStep=0.125, numberOfIterations=3)
    path = tmp_path / "flown.nii.gz"
    SimpleITK.WriteImage(flown, str(path))
    expected = preprocess(dataclasses.replace(case, image=path), settings())
    found = preprocess(case, settings(curvature_flow=3))
    assert np.allclose(found.image, expected.image, atol=1e-4)
    plain = preprocess(case, settings())
    assert np.abs(found.image - plain.image)[found.mask].mean() > 0.01
