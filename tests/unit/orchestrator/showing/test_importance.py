import random
from pathlib import Path

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import create_trial

from orchestrator.showing.importance import importance
from orchestrator.showing.look import Look
from orchestrator.study.record import record_of
from protocol.folders import StudyFolder


def looked_at(count, value):
    chance = random.Random(0)
    space = {key: FloatDistribution(0.0, 1.0) for key in ("matters", "idle")}
    study = optuna.create_study()
    for _ in range(count):
        params = {key: chance.random() for key in space}
        study.add_trial(create_trial(value=value(params), params=params, distributions=space))
    return Look(
        folder=StudyFolder(Path("x")),
        record=record_of(study),
        trials=study.trials,
        content={},
        confirmation=None,
    )


def test_the_key_that_decides_comes_first_and_the_word_trusts_it():
    found = importance(looked_at(200, lambda params: params["matters"] ** 2))
    assert list(found.shares) == ["matters", "idle"]
    assert found.shares["matters"] > 0.8
    assert found.lows["matters"] > 0.5
    assert sum(found.shares.values()) == pytest.approx(1.0)
    assert "From 200 complete trials; matters comes first in 100 %" in found.word
    assert "The first place is settled" in found.word


def test_of_few_trials_it_is_a_hint_and_no_more():
    found = importance(looked_at(6, lambda params: params["matters"]))
    assert "From 6 complete trials" in found.word
    assert "take it for a hint, no more" in found.word


def test_where_keys_are_equally_good_the_order_is_not_called_settled():
    found = importance(looked_at(60, lambda params: params["matters"] + params["idle"]))
    assert "The order is not settled" in found.word
    assert found.lows["matters"] < found.shares["matters"] or found.lows["idle"] < 0.5


@pytest.mark.parametrize(("count", "value"), [(0, None), (1, lambda _: 1.0), (5, lambda _: 1.0)])
def test_nothing_is_said_where_nothing_can_be(count, value):
    assert importance(looked_at(count, value)) is None
