import itertools
import shutil

import optuna
import pytest

from orchestrator.study import restart
from orchestrator.study.holding.lock import StudyLock
from orchestrator.study.identity import IDENTITY
from orchestrator.study.restart import discard, may_be_discarded
from protocol.errors import SettingsError
from tests.made_study import MadeStudy


@pytest.fixture
def made(tmp_path):
    made = MadeStudy(tmp_path / "runs")
    made.begin(epochs=2)
    made.begin()
    made.folder.lock.touch()
    made.folder.log.write_text("what was done\n")
    return made


def left(folder):
    return sorted(path.name for path in folder.path.iterdir())


def test_a_study_without_a_complete_trial_makes_way(made):
    made.study.tell(1, state=optuna.trial.TrialState.FAIL)
    assert may_be_discarded(made.folder)
    assert discard(made.folder) == 2
    assert left(made.folder) == ["lock", "orchestrator.log"]
    assert not may_be_discarded(made.folder)
    assert discard(made.folder) == 0


def test_whoever_discards_a_study_holds_it_on(made):
    with StudyLock(made.folder.lock) as lock:
        discard(made.folder)
        lock.check()


def test_a_study_whose_trials_may_run_on_a_cluster_is_not_discarded(made):
    (made.folder.jobs / "ended").mkdir(parents=True)
    (made.folder.jobs / "0").mkdir()
    with pytest.raises(SettingsError, match="--cancel"):
        discard(made.folder)
    (made.folder.jobs / "0").rename(made.folder.jobs / "ended" / "0")
    assert discard(made.folder) == 2


def test_a_complete_trial_is_never_discarded(made):
    made.study.tell(0, 1.0)
    before = left(made.folder)
    assert not may_be_discarded(made.folder)
    with pytest.raises(SettingsError, match="1 of the trials of study 'made' are complete"):
        discard(made.folder)
    assert left(made.folder) == before


class Killed(BaseException):
    """Where a kill -9 would have fallen."""


def test_a_kill_anywhere_leaves_a_study_or_none_and_the_same_command_ends_it(
    made, tmp_path, monkeypatch
):
    put_away = restart._put_away
    copies = tmp_path / "copies"
    shutil.copytree(made.folder.path, copies)
    for steps in itertools.count():
        shutil.rmtree(made.folder.path)
        shutil.copytree(copies, made.folder.path)
        calls = itertools.count()

        def killed(*arguments, calls=calls, steps=steps):
            if next(calls) == steps:
                raise Killed
            put_away(*arguments)

        monkeypatch.setattr(restart, "_put_away", killed)
        try:
            discard(made.folder)
        except Killed:
            assert made.folder.settings.exists(), "as long as anything is left of it"
            monkeypatch.setattr(restart, "_put_away", put_away)
            discard(made.folder)
        else:
            break
        finally:
            assert left(made.folder) == ["lock", "orchestrator.log"]
    assert steps > 3


def test_of_a_shared_database_only_the_studys_own_is_deleted(made, tmp_path):
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    for name, identity in (("made", "mine"), ("other", "theirs")):
        study = optuna.create_study(storage=url, study_name=name)
        study.set_user_attr(IDENTITY, identity)
        study.ask()
    made.write_settings(storage={"url": url})
    made.folder.settings.write_text(made.folder.settings.read_text() + "identity: mine\n")
    made.folder.database.unlink()
    discard(made.folder)
    assert optuna.get_all_study_names(url) == ["other"]
    assert left(made.folder) == ["lock", "orchestrator.log"]
