import pytest

from orchestrator.ledger.account import Account
from orchestrator.ledger.trial import NOTE
from orchestrator.showing import hours
from orchestrator.showing.look import look
from orchestrator.showing.methods import methods
from orchestrator.showing.table import table
from tests.made_study import MadeStudy


@pytest.fixture
def seen(tmp_path):
    made = MadeStudy(tmp_path / "runs")
    for account in (Account(kept=7200.0), Account(kept=1800.0, repeated=1800.0)):
        trial = made.begin(epochs=1)
        trial.set_user_attr(NOTE, account.packed())
        made.tell(trial, made.settle(trial))
    return look(made.folder)


def test_uses_are_the_ledgers_the_most_first(seen):
    assert [(use.name, use.hours, round(use.share, 3)) for use in hours.uses(seen)] == [
        ("trained and kept", "2.5 h", 0.833),
        ("lost and repeated", "30 min 00 s", 0.167),
    ]
    assert hours.told(seen).startswith("3 device-hours: 2.5 h trained and kept")


def test_a_trials_hours_stand_in_its_row(seen):
    found = table(seen)
    place = found["columns"].index("device-hours")
    assert [row[place] for row in found["rows"]] == [2.0, 1.0]


def test_the_paragraph_tells_them(seen):
    assert "All of it took 3 device-hours." in methods(seen)


def test_where_nothing_was_counted_nothing_is_told(tmp_path):
    study = look(MadeStudy(tmp_path).folder)
    assert hours.uses(study) == []
    assert hours.told(study) == ""
    assert "All of it took" not in methods(study)
