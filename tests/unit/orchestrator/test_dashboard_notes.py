from importlib.machinery import ModuleSpec

import optuna
import optuna_dashboard
import pytest

from orchestrator import dashboard_notes

LONG = "a line of a note\n" * 1000  # more than one attribute of a study can hold


@pytest.fixture
def study():
    return optuna.create_study()


@pytest.mark.parametrize("of", ["study", "trial"])
def test_the_dashboard_reads_what_is_written_and_the_other_way_round(study, of):
    subject = study if of == "study" else study.ask()
    dashboard_notes.save_note(subject, LONG)
    assert optuna_dashboard.get_note(subject) == LONG
    optuna_dashboard.save_note(subject, "of people")
    assert dashboard_notes.get_note(subject) == "of people"


def test_where_there_is_no_note_it_is_empty(study):
    assert dashboard_notes.get_note(study) == ""


def test_of_a_release_that_keeps_its_notes_elsewhere_the_whole_package_serves(
    monkeypatch, tmp_path
):
    spec = package_in(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)
    assert dashboard_notes._load() is optuna_dashboard


def package_in(folder):
    """The spec of a package that lies in an empty folder."""
    spec = ModuleSpec("optuna_dashboard", None, is_package=True)
    spec.submodule_search_locations = [str(folder)]
    return spec
