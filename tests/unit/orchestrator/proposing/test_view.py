import pytest

from orchestrator.proposing.view import View, numbers_in, ranges
from tests.searches import NUMBERS, SmallSearch, make_settings


@pytest.mark.parametrize(
    ("numbers", "text"),
    [([], ""), ([3], "3"), ([0, 1, 2, 5], "0-2,5"), ([5, 2, 1, 7, 8], "1-2,5,7-8")],
)
def test_numbers_are_written_as_ranges_and_read_back(numbers, text):
    assert ranges(numbers) == text
    assert numbers_in(text) == sorted(numbers)


def test_a_view_says_how_far_the_curve_of_every_running_trial_was_known(tmp_path):
    search = SmallSearch(tmp_path, make_settings(NUMBERS, {}))
    trials = [search.asker.ask()[0] for _ in range(4)]
    trials[1].report(0.5, 3)
    search.study.tell(trials[2], 1.0)
    view = View.of(search.trials(), 3, settings=2)
    assert view == View(finished="2", running="0-1", known={1: 3}, settings=2)
    assert View.model_validate(view.kept()) == view
