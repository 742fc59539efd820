import numpy as np
import pytest

from data.brain.prepare.sources import Source
from data.brain.prepare.standard import standardise
from data.brain.volume import write_upright
from protocol.errors import DataError

SIDES = (2.0, 1.5, 1.0)


@pytest.fixture
def source(tmp_path):
    """An off-centre box of brain of 24 × 24 × 24 mm in front of a bright shell."""
    image = np.full((30, 40, 60), 900, dtype=np.float32)
    mask = np.zeros(image.shape, dtype=bool)
    mask[2:14, 20:36, 30:54] = True
    image[mask] = np.random.default_rng(0).uniform(100, 300, mask.sum())
    lesion = np.zeros_like(mask)
    lesion[6:9, 24:28, 36:42] = True
    paths = {}
    for kind, values in {"image": image, "mask": mask, "segmentation": lesion}.items():
        paths[kind] = tmp_path / f"a_{kind}.nii.gz"
        write_upright(paths[kind], values, SIDES)
    return Source(subject="a", person="a", **paths)


def replaced(source, **changes):
    return Source(**(vars(source) | changes))


def test_a_brain_comes_at_1_mm_stripped_and_in_the_middle(source):
    found = standardise(source, "auto")
    inside = np.argwhere(found.mask)
    sides = inside.max(axis=0) - inside.min(axis=0) + 1
    assert np.all(np.abs(sides - 24) <= 1)
    middle = (inside.max(axis=0) + inside.min(axis=0)) / 2
    assert np.all(np.abs(middle - (np.array(found.mask.shape) - 1) / 2) <= 0.5)
    assert not found.image[~found.mask].any()
    assert found.image.max() < 600  # nothing of the shell, but for what runs in at the border
    assert np.median(found.image[found.mask]) == pytest.approx(200, rel=0.1)
    assert found.mask_from == "a_mask.nii.gz"


def test_a_segmentation_comes_along(source):
    found = standardise(source, "auto")
    assert found.segmentation.sum() == pytest.approx(6 * 6 * 6, rel=0.25)
    assert standardise(replaced(source, segmentation=None), "auto").segmentation is None


def test_without_a_mask_the_method_is_named(source):
    found = standardise(replaced(source, mask=None), "nonzero")
    assert found.mask_from == "method nonzero"


def test_what_cannot_be_used_is_one_sentence(source):
    write_upright(source.mask, np.zeros((30, 40, 60), dtype=bool), SIDES)
    with pytest.raises(DataError, match=r"a_mask.* is empty, expected the brain"):
        standardise(source, "auto")
    write_upright(source.image, np.ones((30, 40, 60), dtype=np.uint8), SIDES)
    with pytest.raises(DataError, match="no brain stands out from the background"):
        standardise(replaced(source, mask=None), "auto")
