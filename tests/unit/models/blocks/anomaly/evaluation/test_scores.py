import numpy as np
import pytest
from scipy import ndimage

from models.blocks.anomaly.evaluation.scores import (
    average_precision,
    dice,
    hausdorff,
    mean_absolute_error,
    precision,
    recall,
    roc_auc,
    slice_scores,
)

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


def test_precision_and_recall_are_shares_of_what_was_found_and_of_what_there_is():
    assert precision(SOME, OTHER) == 1 / 2
    assert recall(SOME, OTHER) == 1 / 3
    assert precision(NOTHING, OTHER) == recall(NOTHING, OTHER) == 0.0
    assert recall(SOME, NOTHING) is None


def test_the_area_under_the_roc_curve_is_the_share_of_pairs_in_order():
    anomaly = np.array([[[0.9, 0.8, 0.7], [0.6, 0.5, 0.4]]], np.float32)
    assert roc_auc(anomaly, OTHER) == pytest.approx((2 + 2 + 2) / 9)
    assert roc_auc(anomaly, NOTHING) is None


@pytest.mark.parametrize("seed", range(4))
def test_the_hausdorff_distance_is_monais_in_millimetres(seed):
    import torch
    from monai.metrics import compute_hausdorff_distance

    random = np.random.default_rng(seed)
    masks = [ndimage.binary_dilation(random.random((6, 9, 8)) < 0.02) for _ in range(2)]
    spacing = (3.0, 1.0, 2.0)
    tensors = [torch.from_numpy(mask)[None, None].float() for mask in masks]
    expected = compute_hausdorff_distance(*tensors, include_background=True, spacing=spacing)
    assert hausdorff(*masks, spacing) == pytest.approx(float(expected), rel=1e-5)
    assert hausdorff(masks[0], np.zeros_like(masks[1]), spacing) is None


def test_slices_with_a_lesion_are_scored_alone_and_told_from_the_others_by_their_mean():
    truth = np.zeros((3, 2, 2), bool)
    truth[1, 0], truth[2, 0, 0] = True, True
    anomaly = np.zeros((3, 2, 2), np.float32)
    anomaly[0, 1, 1], anomaly[1, 0, 0], anomaly[2, 0] = 0.5, 0.9, 0.9
    found = slice_scores(anomaly, 0.3, truth, np.ones_like(truth))
    assert found["slice_dice"] == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert found["slice_precision"] == pytest.approx((1 + 1 / 2) / 2)
    assert found["slice_recall"] == pytest.approx((1 / 2 + 1) / 2)
    assert found["slice_roc_auc"] == found["slice_auprc"] == 1.0
    assert set(slice_scores(anomaly, 0.3, truth & False, np.ones_like(truth)).values()) == {None}
