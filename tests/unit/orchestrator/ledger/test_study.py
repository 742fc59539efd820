"""A study's ledger: of ended trials as the study keeps it, of the others from their files."""

import json

import pytest

from orchestrator.ledger.account import Account
from orchestrator.ledger.study import study_ledger
from orchestrator.ledger.trial import NOTE
from orchestrator.study.find import read_study
from protocol.messages import Launched, Left, append_event
from tests.made_study import MadeStudy


@pytest.fixture
def made(tmp_path):
    return MadeStudy(tmp_path)


def test_an_ended_trial_is_not_read_again_and_one_of_before_is_read_from_its_files(made):
    kept = made.begin(epochs=1)
    kept.set_user_attr(NOTE, Account(kept=100.0, peak=5).packed())
    made.tell(kept, made.settle(kept))
    made.trial(kept.number).events.unlink()
    earlier = made.trial(made.add(epochs=0))
    earlier.events.unlink()
    append_event(earlier.events, Launched(time=10.0, attempt=0, devices=3))
    append_event(earlier.events, Left(time=12.0, attempt=0, ending="completed", reason="-"))
    ledger = study_ledger(made.folder, read_study(made.folder))
    assert ledger.trials == {0: Account(kept=100.0, peak=5), 1: Account(waiting=6.0, lasted=2.0)}
    assert ledger.total == Account(kept=100.0, waiting=6.0, lasted=2.0, peak=5)


def test_devices_that_were_held_without_a_trial_have_waited(made):
    trial = made.begin()
    trial.set_user_attr(NOTE, {"kept": 100.0, "waiting": 5.0})
    made.folder.clock.write_text(json.dumps({"seconds": 60.0, "device_seconds": 120.0}))
    ledger = study_ledger(made.folder, read_study(made.folder))
    assert ledger.idle == 15.0
    assert ledger.total == Account(kept=100.0, waiting=20.0)
