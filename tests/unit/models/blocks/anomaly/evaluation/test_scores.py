import numpy as np
import pytest

from models.blocks.anomaly.evaluation.scores import average_precision, dice, mean_absolute_error

NOTHING = np.zeros((1, 2, 3), bool)
SOME = np.array([[[1, 1, 0], [0, 0, 0]]], bool)
OTHER = np.array([[[0, 1, 1], [1, 0, 0]]], bool)


def test_dice_is_twice_the_overlap_over_both_sizes():
    assert dice(SOME, OTHER) == pytest.approx(2 * 1 / 5)
    assert dice(SOME, SOME) == 1.0


def test_finding_nothing_where_nothing_is_is_right_and_anything_else_there_is_wrong():
    assert dice(NOTHING, NOTHING) == 1.0
    assert dice(SOME, NOTHING) == 0.0
    assert dice(NOTHING, SOME) == 0.0


def test_average_precision_sums_precision_over_steps_of_recall():
    anomaly = np.array([[[0.9, 0.8, 0.7], [0.6, 0.5, 0.4]]], np.float32)
    truth = np.array([[[1, 0, 1], [0, 0, 1]]], bool)
    assert average_precision(anomaly, truth) == pytest.approx((1 + 2 / 3 + 3 / 6) / 3)


def test_average_precision_has_no_meaning_without_a_lesion():
    assert average_precision(np.ones((1, 2, 3), np.float32), NOTHING) is None


def test_the_error_is_of_all_voxels_or_of_those_in_a_mask():
    image = np.array([[[1.0, 0.5, 0.0], [0.0, 0.0, 0.0]]], np.float32)
    blank = np.zeros_like(image)
    assert mean_absolute_error(image, blank) == pytest.approx(0.25)
    assert mean_absolute_error(image, blank, SOME) == pytest.approx(0.75)
