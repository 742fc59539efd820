import pytest
import yaml
from optuna.trial import TrialState

from orchestrator.reporting.final import final_report
from orchestrator.study.record import record_of
from protocol.messages import Ending
from tests.made_study import MadeStudy


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["run"])
    monkeypatch.setattr("orchestrator.reporting.hints._DEFAULT_RUNS", tmp_path / "runs")
    return MadeStudy(tmp_path / "runs", "demo")


def report(made, total=8, interrupted=False):
    text = final_report(record_of(made.study), made.folder, total=total, interrupted=interrupted)
    return text.plain


def test_it_tells_the_best_trials_value_parameters_metrics_and_files(made):
    made.add(22.0)
    made.add(26.0)
    made.draw(1)
    made.add(None, ending=Ending.NONFINITE)
    text = report(made, total=3)
    assert "Study demo ended: 3 of 3 trials finished (2 complete, 1 pruned, 0 failed)." in text
    assert "Best: trial 1, psnr 26 at epoch 3" in text
    for name, value in made.study.trials[1].params.items():
        line = next(line for line in text.splitlines() if line.startswith(f"  {name} "))
        assert f"{value:.5g}" in line if isinstance(value, float) else str(value) in line
    assert "  ssim  0.5" in text
    assert "  checkpoint  runs/demo/trial_1/best.pth" in text
    assert "  pictures    runs/demo/trial_1/pictures (1)" in text


def test_it_gives_the_next_commands_to_type(made):
    made.add()
    commands = [line.partition("./run_study.sh ")[2] for line in report(made, 1).splitlines()]
    assert [command for command in commands if command] == [
        "status --study_name demo",
        "evaluate --study_name demo --trial best",
        "visualize --study_name demo --trial best",
        "export --study_name demo --out best/",
        "dashboard --study_name demo",
        "--study_name demo --n_trials 2",
    ]


def test_a_checkpoint_that_is_gone_is_not_offered(made):
    made.trial(made.add()).best.unlink()
    text = report(made)
    assert "checkpoint  removed" in text
    assert "visualize" not in text
    assert "evaluate" not in text
    assert "export" not in text


def test_without_a_complete_trial_it_tells_why_each_ended(made):
    made.add(None, ending=Ending.FAILED, reason="ValueError on rank 0: wrong")
    made.add(None, ending=Ending.PRUNED, reason="the pruner expected no improvement")
    text = report(made, total=2)
    assert "No trial is complete, so there is no best one." in text
    assert "trial 0 failed: ValueError on rank 0: wrong" in text
    assert "trial 1 pruned: the pruner expected no improvement" in text
    assert "export" not in text


def test_many_reasons_are_cut_short(made):
    for number in range(13):
        trial = made.study.ask()
        trial.set_user_attr("reason", f"cause {number}")
        made.study.tell(trial, state=TrialState.FAIL)
    text = report(made, total=13)
    assert "cause 9" in text
    assert "cause 10" not in text
    assert "and 3 more" in text


def test_an_interrupted_study_says_how_to_go_on(made):
    made.add()
    made.begin()
    text = report(made, interrupted=True)
    assert "Study demo interrupted: 1 of 8 trials finished" in text
    assert "type the same command again" in text
    assert text.rstrip().endswith("./run_study.sh --study_name demo")


def test_one_interrupted_with_nothing_left_to_do_is_not_sent_on(made):
    made.add()
    text = report(made, total=1, interrupted=True)
    assert "Study demo ended: 1 of 1 trials finished" in text
    assert "same command" not in text
    assert "--n_trials 2" in text


def test_what_its_devices_were_used_for_is_said(made):
    trial = made.begin()
    trial.set_user_attr("ledger", {"kept": 5400.0, "waiting": 60.0})
    made.tell(trial, made.settle(trial))
    assert "Used: 1.52 device-hours: 1.5 h trained and kept, 1 min 00 s waiting." in report(made)


def test_a_study_whose_time_ran_out_can_go_on(made):
    made.add()
    assert "go on" in report(made, total=8)
    assert "--n_trials" not in report(made, total=8)


def test_before_any_trial_has_ended_it_says_so(made):
    made.begin()
    assert "No trial has ended yet." in report(made, interrupted=True)


def test_the_best_model_of_a_dependent_study_is_told_with_its_parent(made):
    made.add(26.0)
    record = {
        "checkpoint": "/runs/direct/trial_3/best.pth",
        "sha256": "ab" * 32,
        "study": "/runs/direct",
        "trial": 3,
        "metric": "psnr",
        "value": 24.5,
    }
    known = yaml.safe_load(made.folder.settings.read_text())
    made.folder.settings.write_text(yaml.safe_dump(known | {"parent": record}))
    assert "  parent      trial 3 of study direct, psnr 24.5\n" in report(made)
