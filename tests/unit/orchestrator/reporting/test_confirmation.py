import io

import pytest
from rich.console import Console

from orchestrator.confirmation.saved import Confirmation, Confirmed, Run
from orchestrator.reporting.confirmation import print_confirmation
from orchestrator.reporting.confirmation_note import confirmation_note, confirmed_lines
from orchestrator.study.record import TrialRecord
from protocol.folders import StudyFolder


def runs(*states):
    return [
        Run(trial=n, repetition=n, seed=n, state=state, value=None, reason="")
        for n, state in enumerate(states)
    ]


@pytest.fixture
def known():
    best = Confirmed(
        trial=7,
        params={},
        search_value=33.5,
        asked=3,
        runs=runs("complete", "complete", "complete"),
        mean=32.25,
        deviation=0.5,
        low=31.0,
        high=33.5,
    )
    other = Confirmed(
        trial=3,
        params={},
        search_value=33.1,
        asked=4,
        runs=runs("complete", "diverged", "failed"),
        mean=31.5,
    )
    return Confirmation(
        study="[bold]",  # as no name can be, to see that it is no markup
        metric="psnr",
        direction="maximize",
        level=0.95,
        finished=False,
        trials=[best, other],
        verdict="Trial 7 is ahead.",
        checkpoint="confirm/trial_2/best.pth",
    )


def screen(known, folder, *, interrupted=False, width=80):
    console = Console(file=io.StringIO(), width=width)
    print_confirmation(console, StudyFolder(folder), known, interrupted=interrupted)
    return console.file.getvalue()


def test_every_trial_has_a_row_with_its_mean_interval_and_search_value(known, tmp_path):
    text = screen(known, tmp_path / "x")
    rows = [line.split() for line in text.splitlines()]
    assert ["7", "32.25", "0.5", "31", "to", "33.5", "33.5", "3"] in rows
    assert ["3", "31.5", "-", "-", "33.1", "1", "of", "4,"] in [row[:8] for row in rows]
    for word in ("1 diverged", "1 failed", "1 unfinished"):
        assert word in " ".join(text.split())


def test_the_screen_names_the_verdict_the_files_and_the_next_commands(known, tmp_path):
    text = screen(known, tmp_path / "x")
    assert "Study [bold], 2 trials trained again: 6 of 7 runs ended." in text
    assert "Trial 7 is ahead." in text
    assert "it is no part of the mean" in " ".join(text.split())
    assert f"{tmp_path}/x/confirm/trial_2/best.pth" in text
    assert f"export --study_name confirm --runs_dir {tmp_path}/x --trial 2" in text
    assert f"confirm --study_name x --runs_dir {tmp_path} --top 2 --seeds 8" in text


def test_after_an_interruption_the_same_command_is_asked_for(known, tmp_path):
    text = screen(known, tmp_path / "x", interrupted=True)
    assert "2 trials interrupted: 6 of 7 runs ended" in text
    assert "type the same command again" in text
    assert "--seeds 8" not in text


def test_the_dashboards_note_has_a_row_for_every_trial(known):
    note = confirmation_note(known)
    assert "| 7 | 3 of 3 | 32.25 | 31 to 33.5 | 33.5 |" in note
    assert "| 3 | 1 of 4 | 31.5 | - | 33.1 |" in note
    assert "95 % interval" in note
    assert "Trial 7 is ahead." in note
    assert "over seeds alone" in note


def test_status_is_told_of_the_winner_and_of_nothing_where_there_is_none(known):
    confirmed = TrialRecord(number=3, state="complete", value=33.1)
    line, said = confirmed_lines(known, confirmed)
    assert line == "Confirmed: trial 7, mean psnr 32.25 (31 to 33.5) over 3 runs with fresh seeds"
    assert said.strip() == known.verdict
    assert confirmed_lines(None, confirmed) == []
    assert confirmed_lines(known.model_copy(update={"trials": []}), confirmed) == []


def test_status_is_told_of_a_better_trial_that_nobody_has_confirmed(known):
    later = TrialRecord(number=9, state="complete", value=34.0)
    assert "trial 9" in confirmed_lines(known, later)[2]
    assert len(confirmed_lines(known, None)) == 2
