"""A study is deleted when nobody runs it and somebody wants it; a kill half-way is made good."""

import io

import optuna
import pytest
import yaml
from rich.console import Console

from orchestrator.commands import export
from orchestrator.commands.steering.delete import delete_study
from orchestrator.study import restart
from orchestrator.study.find import known_studies
from orchestrator.study.holding.lock import StudyLock
from orchestrator.study.identity import IDENTITY
from protocol.errors import SettingsError, StudyInUse
from tests.made_study import PLAYED_PROGRAM, MadeStudy


@pytest.fixture
def made(tmp_path):
    made = MadeStudy(tmp_path / "runs")
    made.add(24.0)
    made.add(25.0)
    return made


def deleted(folder, **options):
    output = io.StringIO()
    console = Console(file=output, width=200)
    code = delete_study(folder, **{"yes": True, "keep": None, **options}, console=console)
    return code, output.getvalue()


def test_a_study_is_gone_and_its_best_trial_kept_where_that_is_wanted(made, monkeypatch):
    monkeypatch.setattr(export, "write_program", lambda *_, **__: PLAYED_PROGRAM)
    code, told = deleted(made.folder, keep="best")
    assert (code, "Trial 1, the best, is kept" in told) == (0, True)
    runs = made.folder.path.parent
    assert [path.name for path in runs.iterdir()] == ["made.best"]
    assert (runs / "made.best" / "best.pth").exists()
    assert known_studies(runs) == []


def test_without_a_terminal_it_takes_a_yes(made):
    with pytest.raises(SettingsError, match=r"--yes deletes study made with 2 trials.*25"):
        deleted(made.folder, yes=False)
    with pytest.raises(SettingsError, match="expected best"):
        deleted(made.folder, keep="all")
    assert made.folder.database.exists()


def test_one_that_somebody_works_on_or_whose_jobs_may_run_is_refused(made):
    with StudyLock(made.folder.lock), pytest.raises(StudyInUse):
        deleted(made.folder)
    (made.folder.jobs / "3").mkdir(parents=True)
    with pytest.raises(SettingsError, match="--cancel"):
        deleted(made.folder)
    assert made.folder.database.exists()


@pytest.mark.parametrize("killed_at", ["rename", "rmtree"])
def test_a_kill_half_way_leaves_what_the_same_command_deletes(made, monkeypatch, killed_at):
    shared = f"sqlite:///{made.folder.path.parent}/shared.db"
    for name, token in (("made", "ours"), ("other", "theirs")):
        optuna.create_study(storage=shared, study_name=name).set_user_attr(IDENTITY, token)
    made.write_settings(storage={"url": shared})
    content = yaml.safe_load(made.folder.settings.read_text()) | {"identity": "ours"}
    made.folder.settings.write_text(yaml.safe_dump(content))

    def kill(path, **_):
        if killed_at == "rename" or path.name == ".made.deleted":
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        if killed_at == "rename":
            patched.setattr(restart, "_deleted", kill)
        else:
            patched.setattr(restart.shutil, "rmtree", kill)
        with pytest.raises(KeyboardInterrupt):
            deleted(made.folder)
    assert known_studies(made.folder.path.parent) == (["made"] if killed_at == "rename" else [])
    code, told = deleted(made.folder)
    assert (code, "deleted" in told) == (0, True)
    assert [path.name for path in made.folder.path.parent.iterdir()] == ["shared.db"]
    assert optuna.get_all_study_names(shared) == ["other"]
    with pytest.raises(SettingsError, match="there is no study"):
        deleted(made.folder)
