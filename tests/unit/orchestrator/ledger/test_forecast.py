"""How long simulated studies still take, as forecast while they ran."""

import heapq
import itertools
import math
import random

import optuna
import pytest

from orchestrator.ledger.forecast import Forecast, Past, Present, forecast

EPOCHS = 20


def past(seconds, fraction=1.0, loss=None, **params):
    return Past(seconds=seconds, fraction=fraction, params=params, loss=loss)


def simulated(seed, *, lanes, pruner, seconds_of_epoch, trials=60):
    """A study by TPE: at the end of each trial, the forecast and what it turned out to be."""
    luck = random.Random(seed)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed), pruner=pruner)
    now, ends, order, running, ended, told = 0.0, [], itertools.count(), {}, [], []

    def begin():
        trial = study.ask()
        width = trial.suggest_int("width", 16, 128, log=True)
        rate = trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True)
        loss = abs(math.log10(rate) + 2.5) + 0.15 * math.log2(width / 128) ** 2 + 1.0
        pace = seconds_of_epoch(width) * math.exp(luck.gauss(0, 0.1))
        running[trial.number] = [trial, now, 0, pace, loss]
        heapq.heappush(ends, (now + 2.0 + pace, next(order), trial.number))

    for _ in range(lanes):
        begin()
    while ends:
        now, _, number = heapq.heappop(ends)
        trial, since, epoch, pace, loss = running[number]
        running[number][2] = epoch = epoch + 1
        trial.report(loss * (1 + 3 / epoch) + luck.gauss(0, 0.05), epoch)
        stops = epoch < EPOCHS and trial.should_prune()
        if not stops and epoch < EPOCHS:
            heapq.heappush(ends, (now + pace * math.exp(luck.gauss(0, 0.05)), next(order), number))
            continue
        state = optuna.trial.TrialState.PRUNED if stops else optuna.trial.TrialState.COMPLETE
        study.tell(trial, None if stops else loss, state=state)
        del running[number]
        told_loss = None if stops else loss
        ended.append(past(now - since, epoch / EPOCHS, told_loss, **trial.params))
        if len(ended) + len(running) < trials:
            begin()
        there = [
            Present(seconds=now - s, left=(EPOCHS - e) * p if e else None, params=t.params)
            for t, s, e, p, _ in running.values()
        ]
        waiting = trials - len(ended) - len(running)
        prunes = not isinstance(pruner, optuna.pruners.NopPruner)
        told.append((now, forecast(ended, there, waiting=waiting, lanes=lanes, prunes=prunes)))
    return [(found, now - at) for at, found in told]


def median():
    return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=2)


STUDIES = {
    "of equal trials": (12, 1, optuna.pruners.NopPruner(), 0.0),
    "of wide and narrow models": (11, 2, optuna.pruners.NopPruner(), 1.5),
    "of wide and narrow models, pruned": (8, 4, median(), 1.0),
}


@pytest.mark.parametrize(
    ("most", "lanes", "pruner", "power"),
    [
        pytest.param(*study, id=name, marks=() if "pruned" in name else pytest.mark.long)
        for name, study in STUDIES.items()
    ],
)
def test_after_a_third_of_its_trials_the_rest_is_foreseen_within_a_factor_of_one_and_a_half(
    most, lanes, pruner, power
):
    """In so many of twelve searches at least: what a sampler will find no forecast knows."""

    def pace(width):
        return 4.0 * (width / 32) ** power

    searches = [
        simulated(seed, lanes=lanes, pruner=pruner, seconds_of_epoch=pace) for seed in range(12)
    ]
    thirds = [search[len(search) // 3 - 1] for search in searches]
    factors = [found.seconds / came for found, came in thirds]
    assert sum(1 / 1.5 < factor < 1.5 for factor in factors) >= most, factors
    assert sum(found.low < came < found.high for found, came in thirds) >= 8


def test_before_there_is_something_to_judge_by_nothing_is_said():
    one = Present(seconds=30.0, left=None, params={})
    assert forecast([], [one], waiting=10, lanes=1) is None
    assert forecast([past(9.0), past(11.0)], [], waiting=10, lanes=1) is None
    three = [past(9.0), past(11.0), past(10.0)]
    assert forecast(three, [], waiting=10, lanes=1).seconds == pytest.approx(100.0, rel=0.05)
    assert forecast(three, [], waiting=10, lanes=1, prunes=True) is None
    assert forecast(three, [], waiting=10, lanes=2) is None  # the slow ones may still go on
    assert forecast(three, [], waiting=6, lanes=2) is not None


def test_times_that_tell_nothing_of_the_next_are_no_forecast_early_on():
    wild = [past(1.0), past(1.0), past(1.0), past(2000.0)]
    assert forecast(wild, [], waiting=50, lanes=1) is None


def test_from_a_third_of_the_trials_on_it_is_told_in_any_case_to_the_last_one():
    mixed = [past(2.0, 0.2), past(9.0), past(2.0, 0.2), past(10.0), past(2.0, 0.2)]
    assert forecast(mixed, [], waiting=15, lanes=1, prunes=True) is None
    assert forecast(mixed, [], waiting=9, lanes=1, prunes=True) is not None
    assert forecast(mixed * 3, [], waiting=1, lanes=1, prunes=True).high < 20.0
    wild = [past(1.0), past(1.0), past(1.0), past(2000.0)]
    assert forecast(wild, [], waiting=5, lanes=1).high > 1000.0


def test_the_last_trials_take_what_their_own_pace_says():
    last = Present(seconds=40.0, left=60.0, params={})
    found = forecast([past(100.0)] * 3, [last], waiting=0, lanes=2)
    assert found.seconds == pytest.approx(60.0)
    assert found.low < 60.0 < found.high


def test_a_trial_among_others_that_were_pruned_is_expected_to_be_pruned_as_they_were():
    early = [past(10.0, 0.1)] * 6 + [past(100.0)] * 2
    fresh = Present(seconds=5.0, left=95.0, params={})
    grown = Present(seconds=50.0, left=50.0, params={})
    assert forecast(early, [fresh], waiting=0, lanes=1).seconds < 50.0
    assert forecast(early, [grown], waiting=0, lanes=1).seconds == pytest.approx(50.0)


def test_a_trial_without_a_pace_of_its_own_goes_by_its_parameters():
    seen = [past(10.0 * width, width=width) for width in (1, 2, 4, 8, 16)] * 4
    wide = Present(seconds=0.0, left=None, params={"width": 16})
    narrow = Present(seconds=0.0, left=None, params={"width": 1})
    assert forecast(seen, [wide], waiting=0, lanes=1).seconds == pytest.approx(160.0, rel=0.25)
    assert forecast(seen, [narrow], waiting=0, lanes=1).seconds == pytest.approx(10.0, rel=0.25)


def test_lanes_share_the_work_and_gaps_between_trials_count():
    equal = [past(10.0)] * 8
    one = forecast(equal, [], waiting=80, lanes=1).seconds
    four = forecast(equal, [], waiting=80, lanes=4).seconds
    assert one == pytest.approx(800.0)
    assert four == pytest.approx(200.0, rel=0.05)
    assert forecast(equal, [], waiting=80, lanes=1, gap=5.0).seconds == pytest.approx(1200.0)


def test_it_counts_down_and_ends_with_the_time_that_is_allowed():
    found = Forecast(seconds=100.0, low=50.0, high=150.0)
    assert found.later(60.0) == Forecast(seconds=40.0, low=0.0, high=90.0)
    assert found.within(120.0) == Forecast(seconds=100.0, low=50.0, high=120.0)
    assert found.within(-1.0) == Forecast(seconds=0.0, low=0.0, high=0.0)


def test_the_next_trials_come_to_take_what_the_best_do():
    slow = [past(100.0, loss=1.0, width=8)] * 4
    quick = [past(10.0, loss=2.0, width=1)] * 8
    learning = forecast(slow + quick, [], waiting=10, lanes=1).seconds
    losses = [past(trial.seconds, width=trial.params["width"]) for trial in slow + quick]
    assert learning > 3 * forecast(losses, [], waiting=10, lanes=1).seconds
