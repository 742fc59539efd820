"""No way to end is without its state in the study and its title in the dashboard."""

from __future__ import annotations

import pytest

from orchestrator.reporting.note_text import trial_note
from orchestrator.running.settle import STATES
from protocol.folders import TrialFolder
from protocol.messages import Ending, Outcome


@pytest.mark.parametrize("ending", Ending)
def test_every_ending_is_told_to_the_study_and_to_people(ending, tmp_path):
    assert STATES[ending].is_finished()
    outcome = Outcome(ending=ending, reason="so it came", attempts=1)
    note = trial_note(TrialFolder(tmp_path / "trial_0"), None, outcome)
    assert note.startswith("## ")
    assert "so it came" in note
