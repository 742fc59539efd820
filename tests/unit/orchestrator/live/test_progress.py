import pytest

from orchestrator.live.progress import StudyProgress, TrialProgress
from orchestrator.live.sentences import standing
from protocol.messages import Ending, Finished, Outcome, Progressed, Started, Stop, Validated
from protocol.objective import Objective

OBJECTIVE = Objective(metric="psnr", direction="maximize")


def launched(number=0, attempt=0, at=0.0):
    return TrialProgress(number, {}, attempt, ["cpu"], since=at)


def started(attempt=0, step=0, epochs=10, parameters=1):
    return Started(
        attempt=attempt,
        ranks=1,
        epochs=epochs,
        steps_per_epoch=20,
        parameters=parameters,
        resumed_step=step,
    )


def validated(epoch, value, attempt=0, seconds=10.0):
    return Validated(
        attempt=attempt,
        epoch=epoch,
        step=epoch * 20,
        metrics={"psnr": value},
        losses={},
        learning_rate=0.1,
        seconds=seconds,
        best=True,
    )


def progress(step, attempt=0):
    return Progressed(
        attempt=attempt, epoch=1, step=step, losses={}, learning_rate=0.1, gradient_norm=1.0
    )


def study(total=10, finished=0, **known):
    return StudyProgress(
        name="s", total=total, finished=finished, objective=OBJECTIVE, since=0.0, **known
    )


def outcome(value=30.0):
    return Outcome(ending=Ending.COMPLETED, reason="done", attempts=1, value=value)


def test_a_trial_has_no_estimate_before_it_trains():
    trial = launched()
    trial.apply(started(), OBJECTIVE, now=1.0)
    assert trial.seconds_left(2.0) is None


def test_time_left_follows_the_last_epochs_seconds_and_counts_down_between_events():
    trial = launched()
    trial.apply(started(), OBJECTIVE, now=0.0)
    trial.apply(validated(4, 30.0, seconds=10.0), OBJECTIVE, now=40.0)
    assert trial.seconds_left(40.0) == pytest.approx(60.0)
    assert trial.seconds_left(45.0) == pytest.approx(55.0)
    trial.apply(progress(step=90), OBJECTIVE, now=46.0)
    assert trial.seconds_left(46.0) == pytest.approx(55.0)


def test_a_slow_first_epoch_is_forgotten_after_three_more():
    trial = launched()
    trial.apply(started(), OBJECTIVE, now=0.0)
    for epoch, seconds in enumerate((100.0, 10.0, 10.0, 10.0), start=1):
        trial.apply(validated(epoch, 30.0, seconds=seconds), OBJECTIVE, now=0.0)
    assert trial.seconds_left(0.0) == pytest.approx(60.0)


def test_a_scripts_first_epoch_counts_only_until_there_is_another_for_its_start_is_in_it():
    trial = launched()
    trial.apply(started(parameters=0), OBJECTIVE, now=0.0)
    trial.apply(validated(1, 30.0, seconds=100.0), OBJECTIVE, now=0.0)
    assert trial.seconds_left(0.0) == pytest.approx(900.0)
    trial.apply(validated(2, 30.0, seconds=10.0), OBJECTIVE, now=0.0)
    assert trial.seconds_left(0.0) == pytest.approx(80.0)
    trial.apply(started(parameters=0, attempt=1, step=40), OBJECTIVE, now=0.0)
    trial.apply(validated(3, 30.0, seconds=100.0), OBJECTIVE, now=0.0)
    assert trial.seconds_left(0.0) == pytest.approx(70.0)


def test_within_the_first_epoch_the_pace_comes_from_its_own_steps():
    trial = launched()
    trial.apply(started(step=100), OBJECTIVE, now=5.0)
    trial.apply(progress(step=110), OBJECTIVE, now=10.0)
    assert trial.seconds_left(10.0) == pytest.approx((200 - 110) * 0.5)


def test_best_keeps_the_better_epoch_in_the_studys_direction():
    trial = launched()
    for epoch, value in enumerate((30.0, 32.0, float("nan"), 31.0), start=1):
        trial.apply(validated(epoch, value), OBJECTIVE, now=0.0)
    assert (trial.value, trial.best, trial.best_epoch) == (31.0, 32.0, 2)


def test_a_resumed_trial_says_so_until_its_own_ranks_have_met():
    progress = study()
    trial = launched(attempt=1)
    progress.start(trial)
    trial.apply(started(attempt=0), OBJECTIVE, now=0.0)
    trial.apply(validated(3, 30.0, attempt=0), OBJECTIVE, now=0.0)
    assert (trial.state, trial.epoch, trial.best) == ("resuming", 3, 30.0)
    trial.apply(started(attempt=1, step=60), OBJECTIVE, now=0.0)
    assert trial.state == "training"


def test_a_trial_that_was_asked_to_stop_says_so_whatever_else_it_says():
    trial = launched()
    trial.stop_asked(Stop.PRUNED)
    trial.apply(validated(1, 30.0), OBJECTIVE, now=0.0)
    assert trial.state == "pruning"


def test_a_trial_past_its_last_epoch_is_ending():
    trial = launched()
    done = Finished(attempt=0, epoch=10, step=200, early=False, best_epoch=1, metrics={})
    trial.apply(done, OBJECTIVE, now=0.0)
    assert trial.state == "ending"


def test_the_studys_time_left_shares_waiting_trials_out_to_the_lanes():
    progress = study(total=12, lanes=2)
    for round_ in range(2):
        for number in (0, 1):
            progress.start(launched(2 * round_ + number, at=30.0 * round_))
        for number in (0, 1):
            progress.end(2 * round_ + number, outcome(), "complete", now=30.0 * (round_ + 1))
    # Eight trials of 30 s are left for two lanes, the last of which end together or alone.
    assert progress.left(60.0).seconds == pytest.approx(120.0, rel=0.07)
    assert progress.left(70.0).seconds == pytest.approx(progress.left(60.0).seconds - 10.0)


def test_in_the_first_minutes_the_studys_time_is_not_known_yet():
    progress = study(total=100)
    trial = launched(0)
    progress.start(trial)
    trial.apply(started(), OBJECTIVE, now=0.0)
    trial.apply(validated(1, 30.0, seconds=100.0), OBJECTIVE, now=100.0)
    progress.heard()
    assert progress.left(100.0) is None
    assert "time left not known yet" in standing(progress, 100.0)


def test_the_study_is_never_done_before_its_slowest_running_trial():
    progress = study(total=2, finished=1)
    slow = launched(1)
    progress.start(slow)
    slow.apply(started(), OBJECTIVE, now=0.0)
    slow.apply(validated(1, 30.0, seconds=100.0), OBJECTIVE, now=100.0)
    assert progress.left(100.0).seconds == pytest.approx(900.0)


def test_a_time_budget_bounds_the_studys_time_left():
    progress = study(total=1000, timeout=50.0)
    for number in range(3):
        progress.start(launched(number, at=10.0 * number))
        progress.end(number, outcome(), "complete", now=10.0 * (number + 1))
    assert progress.left(30.0).seconds == pytest.approx(20.0)


def test_the_line_tells_what_became_of_trials_and_what_was_used():
    progress = study(total=9, device_seconds=3600.0)
    two = TrialProgress(0, {}, 0, ["cuda:0", "cuda:1"], since=0.0)
    progress.start(two)
    progress.end(0, outcome(), "pruned", now=1800.0)
    progress.end(1, outcome(), "failed", now=1800.0)
    assert "2/9 finished (1 pruned, 1 failed)" in standing(progress, 1800.0)
    assert "2 h used" in standing(progress, 1800.0)
    progress.start(TrialProgress(2, {}, 0, ["cpu", "cpu"], since=1800.0))
    assert progress.device_hours(1800.0 + 7200.0) == 4.0


def test_a_resumed_trials_earlier_attempts_count_for_how_long_it_takes():
    trial = TrialProgress(3, {}, 1, ["cpu"], since=100.0, earlier=50.0)
    assert trial.past(5, now=110.0).seconds == 60.0
    trial.apply(started(epochs=10), OBJECTIVE, now=100.0)
    assert trial.past(5, now=110.0).fraction == 0.5


def test_an_interrupted_trial_is_neither_finished_nor_best():
    progress = study()
    progress.start(launched(0))
    progress.end(0, outcome(), "running", now=1.0)
    assert (progress.finished, progress.best, progress.running) == (0, None, {})


def test_only_a_complete_trial_can_be_the_best():
    progress = study()
    progress.end(0, outcome(40.0), "pruned", now=1.0)
    progress.end(1, outcome(30.0), "complete", now=1.0)
    progress.end(2, outcome(29.0), "complete", now=1.0)
    assert (progress.best_trial, progress.best, progress.finished) == (1, 30.0, 3)
