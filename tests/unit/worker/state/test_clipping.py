import math

import pytest
from pydantic import ValidationError

from protocol.recipe import TrainingRecipe
from worker.state.clipping import DECAY, FIRST_STEPS, Clipping


def fed(clipping, norms):
    """The threshold that held for each of the norms."""
    thresholds = []
    for norm in norms:
        thresholds.append(clipping.threshold)
        clipping.saw(norm)
    return thresholds


def test_without_a_factor_the_threshold_stays_where_it_is_set():
    assert fed(Clipping(largest=0.5, factor=None), [9.0] * 50) == [0.5] * 50
    assert fed(Clipping(largest=None, factor=None), [9.0] * 50) == [None] * 50


def test_the_first_steps_have_the_fixed_threshold_and_later_ones_follow_the_norms():
    clipping = Clipping(largest=5.0, factor=2.0)
    thresholds = fed(clipping, [0.3] * 40)
    assert thresholds[:FIRST_STEPS] == [5.0] * FIRST_STEPS
    assert thresholds[FIRST_STEPS:] == pytest.approx([0.6] * 20)


def test_the_average_is_exponential_and_corrected_for_its_beginning():
    norms = [0.1 + 0.01 * step for step in range(30)]
    clipping = Clipping(largest=5.0, factor=3.0)
    fed(clipping, norms)
    weights = [(1 - DECAY) * DECAY ** (29 - step) for step in range(30)]
    mean = sum(w * norm for w, norm in zip(weights, norms, strict=True)) / sum(weights)
    assert clipping.threshold == pytest.approx(3.0 * mean)


def test_the_threshold_never_exceeds_the_fixed_one_and_outliers_enter_the_average_clipped():
    clipping = Clipping(largest=5.0, factor=2.0)
    fed(clipping, [1.0] * 200)
    before = clipping.threshold
    clipping.saw(1e9)
    newest = (1 - DECAY) / (1 - DECAY**201)
    assert clipping.threshold == pytest.approx(before * (1 + newest * (2.0 - 1)))
    fed(clipping, [100.0] * 2000)
    assert clipping.threshold == 5.0


def test_the_threshold_comes_down_again_when_the_norms_do():
    clipping = Clipping(largest=100.0, factor=2.0)
    fed(clipping, [50.0] * 30)
    assert clipping.threshold == pytest.approx(100.0)
    fed(clipping, [1.0] * 1000)
    assert clipping.threshold == pytest.approx(2.0, rel=0.01)


@pytest.mark.parametrize("norm", [math.nan, math.inf])
def test_a_norm_that_is_not_finite_leaves_the_state_as_it_was(norm):
    clipping = Clipping(largest=5.0, factor=2.0)
    fed(clipping, [1.0] * 30)
    before = clipping.state()
    clipping.saw(norm)
    assert clipping.state() == before


def test_a_restored_threshold_goes_on_bit_by_bit():
    norms = [abs(math.sin(step)) for step in range(60)]
    whole, first, second = (Clipping(largest=5.0, factor=1.5) for _ in range(3))
    thresholds = fed(whole, norms)
    fed(first, norms[:33])
    second.restore(first.state())
    assert fed(second, norms[33:]) == thresholds[33:]


def test_a_moving_threshold_without_a_fixed_one_is_refused_in_a_sentence():
    with pytest.raises(
        ValidationError, match=r"beside `clip_norm`.*set both, or neither"
    ) as raised:
        TrainingRecipe(clip_dynamic=2.0)
    assert raised.value.errors()[0]["loc"] == ("clip_dynamic",)
    with pytest.raises(ValidationError, match="greater than 1"):
        TrainingRecipe(clip_norm=1.0, clip_dynamic=1.0)
    assert TrainingRecipe(clip_norm=1.0, clip_dynamic=2.0).clip_dynamic == 2.0
