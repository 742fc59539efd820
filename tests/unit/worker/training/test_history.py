import csv
import errno

import matplotlib.image
import numpy as np
import pytest

from protocol.folders import RunFolder, TrialFolder
from protocol.messages import Progressed, Validated, append_event
from tests.ranks import attempt, make_plan
from worker.training import history
from worker.training.history import draw_history, read_history, write_history


def epoch(number, *, psnr=30.0, losses=None, best=False, number_of_attempt=0):
    return Validated(
        attempt=number_of_attempt,
        epoch=number,
        step=10 * number,
        metrics={"mse": 0.5 / number, "psnr": psnr},
        losses=losses or {"l1": 1.0 / number, "edges": 0.1},
        learning_rate=1e-3,
        seconds=2.0004,
        best=best,
    )


def rows(folder):
    with folder.history.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path)


def keep(folder, validated, objective=""):
    write_history(folder, validated)
    draw_history(folder, validated, objective)


def test_every_epoch_has_a_row_with_all_that_was_told_of_it(folder):
    keep(folder, [epoch(1, psnr=20.0, best=True), epoch(2, psnr=19.5)])
    first, second = rows(folder)
    assert first == {
        "epoch": "1",
        "step": "10",
        "loss_l1": "1.0",
        "loss_edges": "0.1",
        "mse": "0.5",
        "psnr": "20.0",
        "learning_rate": "0.001",
        "seconds": "2.0",
        "best": "1",
    }
    assert (second["epoch"], second["psnr"], second["best"]) == ("2", "19.5", "0")


def test_a_loss_term_that_comes_later_has_a_column_that_begins_empty(folder):
    keep(folder, [epoch(1, losses={"l1": 1.0}), epoch(2, losses={"l1": 0.5, "new": 3.0})])
    assert [row["loss_new"] for row in rows(folder)] == ["", "3.0"]


def test_the_curves_are_a_picture_that_changes_with_them(folder):
    keep(folder, [epoch(1), epoch(2, psnr=31, best=True)], "psnr")
    before = matplotlib.image.imread(folder.history_curve)
    keep(folder, [epoch(1), epoch(2, psnr=35, best=True), epoch(3)], "psnr")
    after = matplotlib.image.imread(folder.history_curve)
    assert before.shape == after.shape
    assert not np.array_equal(before, after)


def test_the_objective_decides_which_metric_is_drawn_but_not_which_are_kept(folder):
    keep(folder, [epoch(1), epoch(2, psnr=31)], "psnr")
    drawn, table = folder.history_curve.read_bytes(), folder.history.read_bytes()
    keep(folder, [epoch(1), epoch(2, psnr=31)], "mse")
    assert folder.history_curve.read_bytes() != drawn
    assert folder.history.read_bytes() == table


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0, -1.0, 1e-9])
def test_any_value_can_be_drawn(folder, value):
    odd = epoch(2, losses={"l1": value}, psnr=value)
    keep(folder, [epoch(1, losses={"l1": 1.0}), odd], "psnr")
    assert folder.history_curve.stat().st_size > 0
    assert float(rows(folder)[1]["psnr"]) == value or value != value


def test_without_an_epoch_nothing_is_written(folder):
    keep(folder, [])
    assert list(folder.path.iterdir()) == []


def test_after_a_kill_and_a_resume_each_epoch_is_there_once_and_in_order(tmp_path):
    """The killed attempt told an epoch which the resumed one trained and told again."""
    events = TrialFolder(tmp_path).events
    looked = Progressed(attempt=0, epoch=2, step=15, losses={}, learning_rate=1, gradient_norm=1)
    for event in (
        epoch(1),
        looked,
        epoch(2, psnr=21),
        epoch(2, psnr=22, number_of_attempt=1),
        epoch(3),
    ):
        append_event(events, event)
    with events.open("a") as file:
        file.write('{"event":"validated","epo')
    found = read_history(events)
    assert [event.epoch for event in found] == [1, 2, 3]
    assert found[1].metrics["psnr"] == 21


def test_before_the_first_event_there_is_no_history(tmp_path):
    assert read_history(tmp_path / "events.jsonl") == []


def test_a_trial_ends_with_its_curves_and_those_of_every_fold_but_not_without_pictures(tmp_path):
    trial = make_plan(tmp_path / "one", ranks=2, pictures=1)
    assert attempt(trial, ranks=2) == [0, 0]
    assert len(rows(trial)) == 2
    assert trial.history_curve.stat().st_size > 0
    crossed = make_plan(tmp_path / "folds", folds=2, pictures=1)
    assert attempt(crossed) == [0]
    assert all(run.history_curve.stat().st_size > 0 for run in crossed.folds())
    assert not crossed.history_curve.exists()
    plain = make_plan(tmp_path / "plain", pictures=0)
    assert attempt(plain) == [0]
    assert (len(rows(plain)), plain.history_curve.exists()) == (2, False)


def test_curves_that_cannot_be_drawn_fail_no_trial_unless_they_could_be_drawn_later(
    folder, monkeypatch, caplog
):
    def fail(*_):
        raise error

    monkeypatch.setattr(history, "history_chart", fail)
    error: Exception = ZeroDivisionError()
    draw_history(folder, [epoch(1)])
    assert "history.png could not be drawn" in caplog.text
    error = OSError(errno.ENOSPC, "disk full")
    with pytest.raises(OSError, match="disk full"):
        draw_history(folder, [epoch(1)])
