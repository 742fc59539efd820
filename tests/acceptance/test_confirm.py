"""The best trials trained again: what is run, what is kept, and what is said of it."""

from __future__ import annotations

import json
import signal
import statistics

import optuna
import pytest

from orchestrator.commands.confirm import confirm_study
from orchestrator.proposing.ask import Asker
from orchestrator.reporting.status import look_at, status_json
from orchestrator.settings.layers import Asked, load_settings
from orchestrator.settings.space import Space
from orchestrator.study.storage import open_study
from orchestrator.study.study_file import StudyFile, write_study_file
from protocol.messages import load_plan
from tests.studio import Studio, finish, last_word, wait_until

SEARCH = {
    "learning_rate": {"low": 1e-3, "high": 1e-1, "log": True},
    "width": {"low": 2, "high": 8, "step": 2},
    "batch_norm": {"choices": [False, True]},
    "dropout": {"low": 0.0, "high": 0.1, "when": {"batch_norm": True}},
}
POINTS = [
    {"learning_rate": 0.02, "width": 4, "batch_norm": False},
    {"learning_rate": 0.01, "width": 8, "batch_norm": True, "dropout": 0.05},
    {"learning_rate": 0.001, "width": 2, "batch_norm": False},
]
VALUES = [0.02, 0.01, 0.5]  # the second is best, the third is worst


def searched(path, pictures=0):
    """A study as a search leaves it; how its values came about does not matter here."""
    studio = Studio(path)
    studio.preset["search"] = SEARCH
    studio.change(
        enqueue=POINTS,
        n_trials=3,
        parallel_trials=2,
        recipe={"epochs": 3, "step_seconds": 0.1},
        data={"samples": 12},
        keep={"best_trials": 2},
        pruner={"kind": "threshold", "upper": 1e-9},  # would prune every run
        pictures=pictures,
    )
    _, _, *_, preset, _, config = studio.arguments()
    asked = Asked(preset=preset, config=config)
    settings, _ = load_settings(asked)
    studio.folder.path.mkdir(parents=True)
    write_study_file(studio.folder, StudyFile(asked=asked, settings=settings))
    study = open_study(studio.folder, None, "minimize")
    space = Space.of(settings.search, settings.recipe, {})
    asker = Asker(studio.folder, study, settings, space)
    for point, value in zip(POINTS, VALUES, strict=True):
        study.enqueue_trial(point)
        trial, _ = asker.ask()
        study.tell(trial, value)
    return studio


@pytest.fixture(scope="module")
def confirmed(tmp_path_factory, launcher):
    """The best two trials of three, each trained twice again without an interruption."""
    studio = searched(tmp_path_factory.mktemp("confirmed"), pictures=1)
    studio.launcher = launcher
    code, output = studio.command("confirm", "--top", "2", "--seeds", "2")
    assert code == 0, output
    return studio


def known(studio):
    return json.loads(studio.folder.confirmation.read_text())


def values(studio):
    """The runs' values by trial, in the order of repetitions."""
    return {
        trial["trial"]: [run["value"] for run in trial["runs"]] for trial in known(studio)["trials"]
    }


def runs_of(studio):
    """The runs' folders by trial and repetition."""
    return {
        (trial["trial"], run["repetition"]): studio.folder.confirmations.trial(run["trial"])
        for trial in known(studio)["trials"]
        for run in trial["runs"]
    }


def test_the_best_trials_are_trained_again_with_what_they_were_and_seeds_of_their_own(confirmed):
    runs = runs_of(confirmed)
    assert set(runs) == {(0, 0), (0, 1), (1, 0), (1, 1)}
    for (source, _), folder in runs.items():
        plan = load_plan(folder.plan)
        assert plan.recipe.given == {**confirmed.preset["recipe"], **POINTS[source]}
        assert (plan.data, plan.study) == ({"samples": 12}, "x.confirm")
        assert last_word(folder).event == "finished"
        assert list(folder.pictures.glob("*.png"))
    assert len({load_plan(folder.plan).seed for folder in runs.values()}) == 4
    # Weights and order follow the seed: no two runs came to the same value.
    assert len({value for found in values(confirmed).values() for value in found}) == 4


def test_results_are_kept_on_the_study_and_told_by_status(confirmed):
    told = known(confirmed)
    assert told["finished"]
    for trial in told["trials"]:
        found = [run["value"] for run in trial["runs"]]
        assert trial["mean"] == pytest.approx(statistics.fmean(found))
        assert trial["low"] < trial["mean"] < trial["high"]
        assert trial["search_value"] == VALUES[trial["trial"]]
    storage = optuna.storages.RDBStorage(f"sqlite:///{confirmed.folder.database}")
    study = optuna.load_study(study_name="x", storage=storage)
    assert study.user_attrs["confirmation"]["verdict"] == told["verdict"]
    assert [trial.value for trial in study.trials] == VALUES
    assert status_json(look_at(confirmed.folder))["confirmation"] == told
    assert status_json(look_at(confirmed.folder.confirmations))["counts"]["complete"] == 4


def test_the_best_run_of_every_trial_keeps_its_checkpoint_where_few_are_kept(confirmed):
    told, runs = values(confirmed), runs_of(confirmed)
    kept = {place for place, folder in runs.items() if folder.best.exists()}
    best = {source: found.index(min(found)) for source, found in told.items()}
    assert kept == set(best.items())
    winner = known(confirmed)["trials"][0]["trial"]
    checkpoint = runs[winner, best[winner]].best.relative_to(confirmed.folder.path)
    assert known(confirmed)["checkpoint"] == str(checkpoint)


def test_asked_for_again_nothing_is_trained_and_the_same_is_told(confirmed, capsys):
    before = {
        p: p.stat().st_mtime_ns for p in confirmed.folder.confirmations.path.glob("trial_*/*")
    }
    assert confirm_study(confirmed.folder, top=2, seeds=2, as_json=True) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == known(confirmed)
    assert "checking" not in printed.err
    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_interrupted_and_asked_for_more_it_goes_on_and_has_the_runs_of_an_unbroken_one(
    confirmed, tmp_path, launcher
):
    studio = searched(tmp_path)
    folder = studio.folder.confirmations
    run = studio.start_command(["confirm", *studio.where, "--top", "2", "--seeds", "2"])
    try:
        wait_until(lambda: folder.trial(1).outcome.exists(), 90, "end of a run")
        wait_until(lambda: folder.trial(2).events.exists(), 60, "begin of a later one")
        run.send_signal(signal.SIGINT)
        code, output = finish(run, 60)
        assert code == 130
        assert "type the same command again" in output
        assert not known(studio)["finished"]
        finished = {p: p.stat().st_mtime_ns for p in folder.path.glob("trial_[01]/events.jsonl")}
        studio.launcher = launcher
        code, output = studio.command("confirm", "--top", "1", "--seeds", "3")
        assert code == 0, output
    finally:
        for process in studio.processes():
            process.kill()
    assert {p: p.stat().st_mtime_ns for p in finished} == finished
    unbroken, found = values(confirmed), values(studio)
    assert len(found[1]) == 3  # one more of the best, which alone was asked for in the end
    for source, told in unbroken.items():
        assert found[source][:2] == told[: len(found[source])]
    assert known(studio)["verdict"] in output
