import optuna
import pytest

from orchestrator.study.identity import refuse_anothers_folder
from protocol.errors import UserError
from protocol.messages import Plan, save_message
from tests.made_study import MadeStudy


@pytest.fixture
def made(tmp_path):
    return MadeStudy(tmp_path)


@pytest.fixture
def trial(made):
    made.begin()
    return made.study.trials[-1]


def name_study(folder, identity):
    plan = Plan.model_validate_json(folder.plan.read_text())
    save_message(folder.plan, plan.model_copy(update={"study_identity": identity}))


def test_a_trial_that_lies_in_its_own_folder_is_gone_on_with(made, trial):
    folder = made.folder.trial(trial.number)
    refuse_anothers_folder(folder, trial, "mine")  # the plan of an earlier version names no study
    name_study(folder, "mine")
    refuse_anothers_folder(folder, trial, "mine")


def test_a_folder_of_another_study_is_refused(made, trial):
    folder = made.folder.trial(trial.number)
    name_study(folder, "theirs")
    with pytest.raises(UserError, match=r"trial 0 of the database: it was trained for another stu"):
        refuse_anothers_folder(folder, trial, "mine")


def test_a_folder_newer_than_a_database_that_was_put_back_is_refused_naming_both(made, trial):
    """The database gives the number out again, with other parameters."""
    folder = made.folder.trial(trial.number)
    again = optuna.trial.create_trial(
        state=optuna.trial.TrialState.RUNNING,
        params={**trial.params, "harmonics": 100 if trial.params["harmonics"] < 100 else 10},
        distributions=trial.distributions,
    )
    again.number = trial.number
    with pytest.raises(UserError) as caught:
        refuse_anothers_folder(folder, again, "mine")
    assert f"harmonics={trial.params['harmonics']}" in str(caught.value)
    assert f"asks for harmonics={again.params['harmonics']}; was an older copy" in str(caught.value)


def test_a_folder_that_was_renamed_is_refused(made, trial):
    made.begin()
    other = made.study.trials[-1]
    with pytest.raises(UserError, match="is that of trial 0"):
        refuse_anothers_folder(made.folder.trial(trial.number), other, "")


@pytest.mark.parametrize("content", [None, "", "{", '{"study": 1}'])
def test_a_folder_without_a_readable_plan_holds_nothing_of_anyone(made, trial, content):
    folder = made.folder.trial(trial.number)
    folder.plan.unlink()
    if content is not None:
        folder.plan.write_text(content)
    refuse_anothers_folder(folder, trial, "mine")
