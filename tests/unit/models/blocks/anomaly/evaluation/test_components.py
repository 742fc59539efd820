import numpy as np
import pytest

from models.blocks.anomaly.evaluation.components import component_table, dice_without_small
from models.blocks.anomaly.evaluation.postprocess import drop_small_components
from models.blocks.anomaly.evaluation.scores import dice


@pytest.mark.parametrize("limit", [0, 1, 2, 5, 20, 1000])
def test_the_table_gives_the_dice_of_dropping_components(limit):
    generator = np.random.default_rng(1)
    predicted = generator.random((8, 12, 12)) < 0.06
    truth = generator.random((8, 12, 12)) < 0.1
    table = component_table(predicted, truth)
    expected = dice(drop_small_components(predicted, limit), truth)
    assert dice_without_small(table, int(truth.sum()), limit) == pytest.approx(expected)


def test_without_components_and_without_a_lesion_dice_is_one():
    nothing = np.zeros((2, 3, 3), bool)
    table = component_table(nothing, nothing)
    assert dice_without_small(table, 0, 7) == 1.0
    assert dice_without_small(table, 4, 7) == 0.0
