"""No way to end is without its state in the study and its title in the dashboard."""

from __future__ import annotations

import pytest

from orchestrator.reporting.note_text import trial_note
from orchestrator.running.ending.settle import STATES
from protocol.folders import TrialFolder
from protocol.messages import Ending, Outcome


@pytest.mark.parametrize("ending", Ending)
def test_every_ending_is_told_to_the_study_and_to_people(ending, tmp_path):
    assert STATES[ending].is_finished()
    outcome = Outcome(ending=ending, reason="so it came", attempts=1)
    note = trial_note(TrialFolder(tmp_path / "trial_0"), None, outcome)
    assert note.startswith("## ")
    assert "so it came" in note


def test_the_note_of_a_hung_trial_says_where_its_ranks_stood(tmp_path):
    folder = TrialFolder(tmp_path / "trial_0")
    folder.path.mkdir()
    folder.stacks(1).write_text("==== rank 0, process 7\n  File loop.py in waiting_for_godot\n")
    outcome = Outcome(ending=Ending.HUNG, reason="no progress", attempts=2)
    assert "waiting_for_godot" in trial_note(folder, None, outcome)
    other = outcome.model_copy(update={"ending": Ending.LOST})
    assert "waiting_for_godot" not in trial_note(folder, None, other)
