import subprocess
import sys

import optuna
import pytest

import orchestrator.notebook
from orchestrator import open_study
from protocol.errors import SettingsError, UserError
from protocol.messages import Ending
from tests.made_study import MadeStudy


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    made = MadeStudy(tmp_path_factory.mktemp("runs"))
    for value in (24.0, 25.5):
        made.add(value)
    made.add(None, epochs=1, ending=Ending.PRUNED, reason="the pruner expected no improvement")
    return made


@pytest.fixture
def opened(made):
    return open_study("made", made.folder.path.parent)


def test_trials_are_a_table_by_number(opened, made):
    table = opened.trials
    assert table.index.name == "number"
    assert table["state"].tolist() == ["complete", "complete", "pruned"]
    assert table.loc[1, "value"] == 25.5
    assert table.loc[1, "metrics_ssim"] == 0.5
    rates = [trial.params["learning_rate"] for trial in made.study.trials]
    assert table["params_learning_rate"].tolist() == rates


def test_the_best_is_the_studys(opened):
    assert (opened.best.number, opened.best.value) == (1, 25.5)


def test_events_are_a_table_with_metrics_as_columns(opened):
    events = opened.events(2)
    assert events["event"].tolist() == ["started", "validated"]
    assert events["metrics_psnr"].tolist()[1] == 21.0
    assert str(events["time"].dtype).startswith("datetime64")
    assert len(opened.events("best")) == 5


def test_optunas_functions_work_on_a_copy_that_changes_nothing(opened, made):
    before = made.folder.database.read_bytes()
    study = opened.optuna_study()
    assert study.best_trial.number == 1
    study.optimize(lambda trial: trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True), 1)
    study.set_user_attr("mine", 1)
    assert len(optuna.importance.get_param_importances(study)) > 0
    assert made.folder.database.read_bytes() == before


def test_it_looks_anew_when_asked_to(tmp_path):
    made = MadeStudy(tmp_path)
    opened = open_study("made", tmp_path)
    assert len(opened.trials) == 0
    made.add(24.0)
    assert len(opened.trials) == 0
    assert len(opened.refresh().trials) == 1


def test_a_model_is_asked_for_through_the_training_halfs_door(opened, made, monkeypatch):
    asked = []
    monkeypatch.setattr("worker.calls.show.load_model", lambda *a, **k: asked.append((a, k)))
    opened.load_model(0, device="cuda:1")
    assert asked == [((made.trial(0).best,), {"device": "cuda:1", "data_root": None})]


def test_a_study_or_trial_that_is_not_there_is_told(opened, made):
    with pytest.raises(SettingsError, match="did you mean made"):
        open_study("mad", made.folder.path.parent)
    with pytest.raises(SettingsError, match="has no trial 9"):
        opened.events(9)


def test_without_pandas_a_sentence_names_the_extra(opened, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UserError, match=r"the extra `notebook` brings: scripts/setup.sh notebook"):
        _ = opened.trials


def test_the_face_of_the_package_brings_nothing_heavy():
    heavy = ("optuna", "pandas", "plotly", "jinja2", "numpy", "torch", "pydantic")
    code = f"import sys, orchestrator; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
    assert orchestrator.notebook.open_study is open_study
