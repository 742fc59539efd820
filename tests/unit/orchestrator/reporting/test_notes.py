from importlib.machinery import ModuleSpec

import optuna
import optuna_dashboard
import pytest
import yaml
from optuna.artifacts import get_all_artifact_meta
from optuna_dashboard import get_note, save_note

from orchestrator.confirmation.saved import Confirmation, save_confirmation
from orchestrator.reporting import notes
from orchestrator.reporting.note_text import study_note
from orchestrator.reporting.notes import annotate_study, annotate_trial
from orchestrator.settings.schema import Settings
from protocol.messages import Ending
from tests.made_study import OBJECTIVE, MadeStudy

LONG = "a line of a note\n" * 1000  # more than one attribute of a study can hold


@pytest.fixture
def made(tmp_path):
    return MadeStudy(tmp_path)


def annotate(made, trial, outcome):
    annotate_trial(trial, made.folder, made.trial(trial.number), outcome)


def settings(**changes):
    return Settings(preset="p", family="fbp_window", objective=OBJECTIVE, data={}, **changes)


def version(made, trial):
    attributes = made.study._storage.get_study_system_attrs(made.study._study_id)
    return attributes[f"dashboard:{trial._trial_id}:note_ver"]


def test_a_trials_note_says_why_it_ended_and_where_its_checkpoint_is(made):
    trial = made.begin(epochs=4)
    annotate(made, trial, made.settle(trial, reason="early stopping", attempts=2))
    note = get_note(trial)
    for part in (
        "## Complete",
        "early stopping",
        "| best psnr | 24 |",
        "| epochs validated | 4 of 4 |",
        "| attempts | 2 |",
        "| ssim | 0.5 |",
        f"`{made.trial(0).best}`",
    ):
        assert part in note


def test_a_checkpoint_that_is_not_there_is_not_named(made):
    trial = made.begin()
    annotate(made, trial, made.settle(trial, None))
    assert "best.pth" not in get_note(trial)


def test_a_divergences_note_gives_step_ranks_loss_terms_and_parameters(made):
    trial = made.begin(epochs=1)
    detail = {
        "step": 7,
        "ranks": [0, 1],
        "losses": {"mse": "nan", "tv_loss": "0.5"},
        "tensors": ["window.weight"],
        "parameters": trial.params,
    }
    outcome = made.settle(trial, None, ending=Ending.NONFINITE, reason="NaN", detail=detail)
    annotate(made, trial, outcome)
    note = get_note(trial)
    assert "| step | 7 |" in note
    assert "| ranks | 0, 1 |" in note
    assert "| losses | mse=nan tv\\_loss=0.5 |" in note
    assert "| tensors | window.weight |" in note
    assert "learning\\_rate=" in note


def test_a_failures_note_holds_the_traceback_as_it_is(made):
    trial = made.begin()
    traceback = "Traceback:\n  ```x``` *not bold*\nValueError: wrong"
    outcome = made.settle(
        trial, None, ending=Ending.FAILED, reason="ValueError", traceback=traceback
    )
    annotate(made, trial, outcome)
    assert f"````\n{traceback}\n````" in get_note(trial)


def test_a_very_long_traceback_keeps_its_end(made):
    trial = made.begin()
    traceback = "deep\n" * 5000 + "RecursionError: the cause"
    outcome = made.settle(trial, None, ending=Ending.FAILED, reason="e", traceback=traceback)
    annotate(made, trial, outcome)
    note = get_note(trial)
    assert "RecursionError: the cause" in note
    assert len(note) < 8000


def test_annotating_twice_changes_nothing(made):
    trial = made.begin(epochs=4)
    made.draw(trial.number)
    outcome = made.settle(trial)
    annotate(made, trial, outcome)
    first = (get_note(trial), version(made, trial), get_all_artifact_meta(trial))
    annotate(made, trial, outcome)
    assert (get_note(trial), version(made, trial), get_all_artifact_meta(trial)) == first
    assert len(first[2]) == 1


def test_a_trial_can_be_annotated_again_after_it_was_told(made):
    trial = made.begin(epochs=4)
    made.draw(trial.number)
    outcome = made.settle(trial)
    annotate(made, trial, outcome)
    made.tell(trial, outcome)
    again = optuna.Trial(made.study, trial._trial_id)
    annotate(made, again, outcome)
    assert len(get_all_artifact_meta(again)) == 1


def test_words_added_below_a_note_survive_when_it_is_written_again(made):
    trial = made.begin(epochs=4)
    outcome = made.settle(trial)
    annotate(made, trial, outcome)
    save_note(trial, get_note(trial) + "my own words")
    annotate(made, trial, outcome.model_copy(update={"reason": "told anew"}))
    note = get_note(trial)
    assert note.endswith("my own words")
    assert note.count("## Complete") == 1
    assert "told anew" in note


def test_words_written_before_the_first_note_survive_it(made):
    trial = made.begin(epochs=4)
    save_note(trial, "my own words")
    outcome = made.settle(trial)
    annotate(made, trial, outcome)
    annotate(made, trial, outcome)
    assert get_note(trial).startswith("## Complete")
    assert get_note(trial).count("my own words") == 1


def test_the_studys_note_says_what_it_is_and_how_to_go_on(made):
    annotate_study(made.study, made.folder, settings(n_trials=12))
    annotate_study(made.study, made.folder, settings(n_trials=30))
    note = get_note(made.study)
    assert made.study.metric_names == ["psnr"]
    assert "`fbp_window` for the highest `psnr` in 30 trials" in note
    assert "12 trials" not in note
    assert f"--study_name made --runs_dir {made.folder.path.parent}" in note


def test_the_studys_note_tells_what_was_confirmed_and_still_does_after_the_next_run(made):
    known = Confirmation(
        study="made",
        metric="psnr",
        direction="maximize",
        level=0.95,
        finished=True,
        trials=[],
        verdict="Trial 7 is ahead of trial 3.",
    )
    annotate_study(made.study, made.folder, settings())
    assert "fresh seeds" not in get_note(made.study)
    save_confirmation(made.folder, known)
    for _ in range(2):
        annotate_study(made.study, made.folder, settings())
        assert get_note(made.study).count("Trial 7 is ahead of trial 3.") == 1


def test_the_note_of_a_dependent_study_names_its_parent(made):
    record = {"checkpoint": "/r/direct/trial_3/best.pth", "sha256": "ab", "trial": 3}
    known = yaml.safe_load(made.folder.settings.read_text())
    assert "start from" not in study_note(made.folder, settings(), "go on")
    made.folder.settings.write_text(
        yaml.safe_dump(known | {"parent": record | {"study": "/r/direct_1", "value": 2.5}})
    )
    note = study_note(made.folder, settings(), "go on")
    assert r"Its trials start from trial 3 of study direct\_1, value 2.5." in note


@pytest.fixture
def study():
    return optuna.create_study()


@pytest.mark.parametrize("of", ["study", "trial"])
def test_the_dashboard_reads_what_is_written_and_the_other_way_round(study, of):
    subject = study if of == "study" else study.ask()
    notes.save_note(subject, LONG)
    assert optuna_dashboard.get_note(subject) == LONG
    optuna_dashboard.save_note(subject, "of people")
    assert notes.get_note(subject) == "of people"


def test_where_there_is_no_note_it_is_empty(study):
    assert notes.get_note(study) == ""


def test_of_a_release_that_keeps_its_notes_elsewhere_the_whole_package_serves(
    monkeypatch, tmp_path
):
    spec = package_in(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)
    assert notes._load() is optuna_dashboard


def package_in(folder):
    """The spec of a package that lies in an empty folder."""
    spec = ModuleSpec("optuna_dashboard", None, is_package=True)
    spec.submodule_search_locations = [str(folder)]
    return spec
