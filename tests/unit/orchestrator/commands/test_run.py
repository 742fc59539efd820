"""Whether a wrong first start is offered to be discarded."""

import io
from unittest.mock import Mock

import pytest
from rich.console import Console

from orchestrator.commands.run import OpenedStudy, _starts_over
from orchestrator.settings.layers import Asked, Layers
from orchestrator.study.study_file import StudyFile, read_study_file, write_study_file
from protocol.folders import StudyFolder
from tests.made_study import MadeStudy
from tests.searches import NUMBERS, make_settings


@pytest.fixture
def folder(tmp_path):
    folder = StudyFolder(tmp_path / "x")
    folder.path.mkdir()
    write_study_file(folder, StudyFile(asked=Asked(), settings=make_settings(NUMBERS, {})))
    return folder


def offered(folder, monkeypatch, *, answer="y", terminal=True, **changes):
    """Whether it was asked, and whether the study starts over."""
    asked = Mock(return_value=answer)
    monkeypatch.setattr("builtins.input", asked)
    monkeypatch.setattr("sys.stdin", Mock(isatty=lambda: terminal))
    settings = make_settings(NUMBERS, {}, **changes)
    opened = OpenedStudy(folder, Asked(), settings, Layers(), read_study_file(folder))
    starts_over = _starts_over(Console(file=io.StringIO(), force_terminal=terminal), opened)
    return asked.called, starts_over


@pytest.mark.parametrize(("answer", "starts_over"), [("y", True), ("yes ", True), ("", False)])
def test_on_a_terminal_other_settings_are_offered_to_start_over_with(
    folder, monkeypatch, answer, starts_over
):
    assert offered(folder, monkeypatch, answer=answer, seed=1) == (True, starts_over)


def test_nobody_is_asked_where_nobody_answers_or_nothing_of_meaning_has_changed(
    folder, monkeypatch
):
    assert offered(folder, monkeypatch, terminal=False, seed=1) == (False, False)
    assert offered(folder, monkeypatch, n_trials=7) == (False, False)


def test_a_study_with_a_complete_trial_is_never_offered(tmp_path, folder, monkeypatch):
    made = MadeStudy(tmp_path / "runs", "x")
    made.add(20.0)
    made.folder.settings.write_bytes(folder.settings.read_bytes())
    assert offered(made.folder, monkeypatch, seed=1) == (False, False)
