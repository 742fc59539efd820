import pytest

from orchestrator.confirmation.conclusion import conclusion
from orchestrator.confirmation.saved import Comparison, Confirmed, Run


def confirmed(trial, *values, diverged=0, failed=0):
    states = ["complete"] * len(values) + ["diverged"] * diverged + ["failed"] * failed
    told = [*values, *[None] * (diverged + failed)]
    runs = [
        Run(trial=n, repetition=n, seed=n, state=state, value=value, reason="")
        for n, (state, value) in enumerate(zip(states, told, strict=True))
    ]
    mean = sum(values) / len(values) if values else None
    return Confirmed(
        trial=trial, params={}, search_value=1.0, asked=len(runs), runs=runs, mean=mean
    )


def say(first, second=None, *, p_value=None, favourite=7):
    trials = [first] if second is None else [first, second]
    comparison = None
    if second is not None and second.mean is not None:
        by = first.mean - second.mean
        comparison = Comparison(winner=7, runner_up=3, by=by, p_value=p_value)
    return conclusion(trials, comparison, favourite, "psnr")


SEVEN, THREE = confirmed(7, 32.0, 33.0), confirmed(3, 31.0, 31.5)


@pytest.mark.parametrize(
    ("p_value", "words"), [(0.049, "unlikely to be luck"), (0.051, "may well be luck")]
)
def test_a_gap_is_called_luck_above_one_in_twenty(p_value, words):
    told = say(SEVEN, THREE, p_value=p_value)
    assert "Trial 7 is ahead of trial 3 by 1.25 psnr" in told
    assert words in told
    assert f"p = {p_value}" in told


def test_the_lead_is_a_positive_number_also_where_lower_is_better():
    told = say(confirmed(7, 1.0, 1.0), confirmed(3, 2.0, 2.5), p_value=0.5)
    assert "by 1.25 psnr" in told


def test_a_single_run_tells_nothing_about_luck():
    told = say(SEVEN, confirmed(3, 31.0))
    assert "trial 3 has a single one" in told
    assert "--seeds" in told


def test_runs_that_do_not_vary_are_not_tested():
    told = say(confirmed(7, 2.0, 2.0), confirmed(3, 1.0, 1.0))
    assert "neither varies from seed to seed" in told


def test_a_trial_alone_is_compared_to_none():
    assert "Trial 7 is the only one" in say(SEVEN)
    assert "Trial 7 is the only one" in say(SEVEN, confirmed(3, failed=1))


def test_a_favourite_that_fell_behind_is_named_with_its_place():
    assert "The search's best, trial 3, comes second" in say(SEVEN, THREE, favourite=3)
    for favourite in (7, 9, None):
        assert "search's best" not in say(SEVEN, THREE, favourite=favourite)


def test_a_winner_whose_runs_diverged_or_failed_is_told_with_a_warning():
    told = say(confirmed(7, 32.0, 33.0, diverged=1, failed=2), THREE, p_value=0.5)
    assert "of the 5 runs of trial 7 1 diverged and 2 failed" in told
    assert "diverged" not in say(SEVEN, THREE, p_value=0.5)


def test_without_a_complete_run_nothing_is_confirmed():
    assert "nothing is confirmed" in conclusion([], None, 7, "psnr")
    assert "nothing is confirmed" in say(confirmed(7, diverged=1))
