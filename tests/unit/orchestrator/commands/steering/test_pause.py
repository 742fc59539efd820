"""Until when: what people type."""

import datetime

import pytest

from orchestrator.commands.steering.pause import moment_of
from protocol.errors import UserError

NOW = datetime.datetime(2026, 1, 31, 22, 30).timestamp()


@pytest.mark.parametrize(
    ("typed", "moment"),
    [
        ("23:00", (2026, 1, 31, 23, 0)),
        ("07:00", (2026, 2, 1, 7, 0)),  # of the next day
        ("22:30", (2026, 2, 1, 22, 30)),
        ("2026-02-03 07:00", (2026, 2, 3, 7, 0)),
        ("2026-02-03T07:00", (2026, 2, 3, 7, 0)),
    ],
)
def test_a_time_is_the_next_one_to_come(typed, moment):
    assert moment_of(typed, NOW) == datetime.datetime(*moment).timestamp()


@pytest.mark.parametrize("typed", ["soon", "7", "25:00", "2026-01-30 07:00", "07:00+02:00"])
def test_what_is_no_time_to_come_is_refused_by_name(typed):
    with pytest.raises(UserError, match="--until"):
        moment_of(typed, NOW)
