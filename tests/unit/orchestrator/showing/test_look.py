import optuna
import pytest

from orchestrator.showing.look import look
from orchestrator.showing.plots import history
from orchestrator.showing.report import report
from orchestrator.study.record import IGNORED
from protocol.errors import SettingsError
from protocol.folders import StudyFolder


def test_a_study_is_read_with_its_settings_and_trials(example, seen):
    assert (seen.name, seen.metric, seen.record.direction) == ("made", "psnr", "maximize")
    assert seen.best.number == 2
    assert sorted(seen.searched) == ["harmonics", "learning_rate", "window"]
    assert seen.plan.trial == 2
    assert [trial.params for trial in seen.trials] == [t.params for t in example.study.trials]


def test_looking_changes_nothing(made):
    before = made.folder.database.read_bytes()
    look(made.folder)
    assert made.folder.database.read_bytes() == before


def test_an_ignored_trial_stands_in_the_table_and_is_neither_the_best_nor_drawn(made):
    study = optuna.load_study(study_name="made", storage=f"sqlite:///{made.folder.database}")
    study.set_user_attr(IGNORED, {"2": "anna on n1: wrong data"})
    found = look(made.folder)
    assert found.best.number == 0
    assert "wrong data" in found.record.trials[2].reason
    assert found.study_of(found.trials).best_trial.number == 0
    figure = optuna.visualization.plot_optimization_history(found.study_of(found.trials))
    drawn = {number for trace in figure.data for number in trace.x}
    assert 2 not in drawn or all(value != 31.25 for trace in figure.data for value in trace.y)


def test_some_trials_are_a_study_for_optuna_under_their_own_numbers(seen):
    study = seen.study_of([seen.trials[1], seen.trials[2]])
    assert [trial.number for trial in study.get_trials()] == [1, 2]
    assert study.best_trial.number == 2


@pytest.mark.parametrize(
    "spoil", [lambda f: f.settings.unlink(), lambda f: f.settings.write_text("a: [")]
)
def test_a_study_without_readable_settings_is_shown_all_the_same(made, spoil):
    spoil(made.folder)
    found = look(made.folder)
    assert found.metric == "value"
    assert found.best.value == 31.25


def test_a_study_that_is_not_there_or_has_not_begun_is_told(made):
    with pytest.raises(SettingsError, match="did you mean made"):
        look(StudyFolder(made.folder.path.with_name("mad")))
    made.folder.database.unlink()
    with pytest.raises(SettingsError, match="has not begun"):
        look(made.folder)


def test_an_ignored_trial_is_in_no_plot_and_is_not_the_best(made):
    url = f"sqlite:///{made.folder.database}"
    study = optuna.load_study(study_name="made", storage=url)
    study.set_user_attr(IGNORED, {"2": "me: wrong data"})
    found = look(made.folder)
    assert found.best.number == 0
    assert [trial.number for trial in found.trials] == list(range(6))
    assert [trial.number for trial in found.ignored] == [2]
    assert found.study_of(found.trials).best_trial.number == 0
    assert found.trials[2].intermediate_values == {}
    drawn = history(found).html
    assert "31.25" not in drawn
    assert "24.0" in drawn
    page = report(found)
    assert "Trial 2 counts for nothing here: ignored, asked by me: wrong data." in page
