from pathlib import Path

import numpy as np
import pytest

from data.brain.prepare.content import checked
from protocol.errors import DataError

PATH = Path("a_t1.nii.gz")


@pytest.fixture
def head():
    values = np.random.default_rng(0).normal(500, 80, (20, 24, 22)).astype(np.float32)
    values[:3] = 0
    return values


def test_an_image_is_taken_as_it_is(head):
    values, remarks = checked(PATH, head)
    np.testing.assert_array_equal(values, head)
    assert remarks == ()


def test_a_background_of_nan_is_zero_and_counted(head):
    background = np.where(head == 0, np.nan, head)
    values, (remark,) = checked(PATH, background)
    np.testing.assert_array_equal(values, head)
    assert remark == f"{3 * 24 * 22} voxels are NaN, and are taken for 0"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: np.where(x > 600, np.inf, x), "infinite"),
        (lambda x: np.full_like(x, np.nan), "no number at all"),
        (lambda x: np.digitize(x, [1, 450, 550]), "4 different whole numbers"),
        (lambda x: np.where(x == 0, -1000.0, x - 460), "looks like a CT"),
        (lambda x: x[:1], "1×24×22 voxels"),
    ],
)
def test_what_is_no_brain_by_mri_is_refused_by_what_it_holds(head, change, words):
    with pytest.raises(DataError, match=words):
        checked(PATH, np.asarray(change(head), dtype=np.float32))
