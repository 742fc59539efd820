import pytest

from orchestrator.confirmation.saved import (
    Comparison,
    Confirmation,
    Confirmed,
    Run,
    load_confirmation,
    save_confirmation,
)
from protocol.folders import StudyFolder

RUN = Run(trial=0, repetition=0, seed=5, state="complete", value=31.25, reason="early stopping")
TRIAL = Confirmed(
    trial=7,
    params={"rate": 1e-3, "window": None, "harmonics": 10},
    search_value=32.0,
    asked=2,
    runs=[RUN],
    mean=31.25,
)
KNOWN = Confirmation(
    study="x",
    metric="psnr",
    direction="maximize",
    level=0.95,
    finished=False,
    trials=[TRIAL],
    comparison=Comparison(winner=7, runner_up=3, by=0.5),
    verdict="Trial 7 is ahead.",
    checkpoint="confirm/trial_0/best.pth",
)


def test_what_is_saved_is_read_back(tmp_path):
    save_confirmation(StudyFolder(tmp_path), KNOWN)
    assert load_confirmation(StudyFolder(tmp_path)) == KNOWN
    assert [path.name for path in tmp_path.iterdir()] == ["confirmation.json"]


@pytest.mark.parametrize("content", [None, "", "{", "{}", '{"study": "x", "novel": 1}', "\xff"])
def test_a_file_that_is_missing_or_cannot_be_understood_counts_as_none(tmp_path, content):
    folder = StudyFolder(tmp_path)
    if content is not None:
        folder.confirmation.write_text(content, encoding="latin-1")
    assert load_confirmation(folder) is None


def test_runs_that_have_not_begun_are_unfinished():
    assert (TRIAL.count("complete"), TRIAL.count("unfinished")) == (1, 1)
    running = RUN.model_copy(update={"state": "unfinished", "value": None})
    both = TRIAL.model_copy(update={"runs": [RUN, running], "asked": 4})
    assert (both.count("complete"), both.count("unfinished"), both.values) == (1, 3, [31.25])


def test_without_a_mean_there_is_no_winner():
    assert KNOWN.winner == TRIAL
    nobody = TRIAL.model_copy(update={"mean": None})
    assert KNOWN.model_copy(update={"trials": [nobody]}).winner is None
    assert KNOWN.model_copy(update={"trials": []}).winner is None
