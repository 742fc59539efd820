"""What a cross-validated trial is worth, epoch by epoch."""

import pytest

from orchestrator.running.folds import best_epochs, mean_metrics, value_so_far
from protocol.messages import Validated
from protocol.objective import Objective

ERROR = Objective(metric="error", direction="minimize")


def validated(epoch, fold, error):
    return Validated(
        attempt=0,
        epoch=epoch,
        fold=fold,
        step=epoch,
        metrics={"error": error, "other": 10 * error},
        losses={},
        learning_rate=0.1,
        seconds=1.0,
        best=False,
    )


EPOCHS = [
    validated(1, 0, 5.0),
    validated(2, 0, 3.0),
    validated(3, 0, 4.0),
    validated(4, 1, 9.0),
    validated(5, 1, 7.0),
]


def test_without_folds_an_epoch_is_worth_its_own_objective():
    assert value_so_far(EPOCHS[:3], EPOCHS[2], ERROR) == 4.0


def test_in_a_later_fold_an_epoch_is_averaged_with_the_best_of_the_folds_before():
    assert value_so_far(EPOCHS, EPOCHS[3], ERROR) == pytest.approx((3.0 + 9.0) / 2)
    assert value_so_far(EPOCHS, EPOCHS[4], ERROR) == pytest.approx((3.0 + 7.0) / 2)


def test_an_epoch_told_again_counts_once_with_what_was_told_first():
    again = [*EPOCHS, validated(2, 0, 0.0)]
    assert value_so_far(again, EPOCHS[4], ERROR) == pytest.approx(5.0)


def test_every_fold_counts_with_its_own_best_epoch():
    best = best_epochs(EPOCHS, ERROR)
    assert [event.epoch for event in best] == [2, 5]
    assert mean_metrics(best) == {"error": 5.0, "other": 50.0}
    assert mean_metrics([]) == {}
