"""Points, trials that are ignored, and other settings: done once, whatever is killed in between."""

from unittest import mock

import pytest
from optuna.trial import TrialState

from orchestrator.reporting.notes import _Subject, get_note
from orchestrator.settings.checks import Checked
from orchestrator.settings.layers import Asked
from orchestrator.settings.space import Space
from orchestrator.steering import changing, ignoring
from orchestrator.steering import steering as module
from orchestrator.steering.requests import Request, What, ask_for, read_answers, sweep_drafts
from orchestrator.steering.steering import Steering
from orchestrator.study.counting.ignored import ignored_trials
from orchestrator.study.journal import note, read_journal
from orchestrator.study.ranking import best_trial, point_to_best
from orchestrator.study.record import record_of
from orchestrator.study.sqlite import read_sqlite
from orchestrator.study.study_file import StudyFile, read_study_file, write_study_file
from orchestrator.verifying.findings import Report
from orchestrator.verifying.requests import check_requests
from protocol.recipe import TrainingRecipe
from tests.searches import SmallSearch, make_settings

SEARCH = {
    "learning_rate": {"low": 1e-3, "high": 1e-1, "log": True},
    "optimizer": {"choices": ["adam", "sgd"]},
    "momentum": {"low": 0.0, "high": 0.9, "when": {"optimizer": "sgd"}},
}


@pytest.fixture
def search(tmp_path):
    settings = make_settings(SEARCH, {"kind": "random"}, n_trials=4, recipe={"epochs": 3})
    search = SmallSearch(tmp_path, settings)
    write_study_file(search.folder, StudyFile(asked=Asked(), settings=settings))
    note(search.folder, settings, search.asker.space, 0)
    return search


def check(settings, layers):
    space = Space.of(settings.search, settings.recipe, TrainingRecipe().model_dump())
    return Checked(space=space, metrics={}, samples={}, free=[], inputs={})


def holder(search):
    steering = Steering(search.folder, None)
    steering.open(search.study, check)
    return steering


def asked(search, what, **more):
    """Ask, and have it taken up; the answer, and whether it is refused."""
    ask_for(search.folder, Request(what=what, **more))
    holder(search).take_all()
    line = read_answers(search.folder)[-1]
    return line.answer, line.refused


def asked_through_kills(search, place, name, what, **more):
    """The same, but whoever takes it up is killed behind `name`, and before the answer stands."""
    ask_for(search.folder, Request(what=what, **more))
    real = getattr(place, name)

    def killed(*args, **options):
        real(*args, **options)
        raise KeyboardInterrupt

    for target, attribute, death in (
        (place, name, killed),
        (module, "record", mock.Mock(side_effect=KeyboardInterrupt)),
    ):
        with mock.patch.object(target, attribute, death), pytest.raises(KeyboardInterrupt):
            holder(search).take_all()
        search.restart()
    holder(search).take_all()
    (line,) = read_answers(search.folder)
    return line.answer, line.refused


def waiting(search):
    trials = search.study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    return [trial.system_attrs["fixed_params"] for trial in trials]


# --------------------------------------------------------------------------------------- points

POINTS = {"line 2": {"learning_rate": 0.01}, "line 3": {"optimizer": "sgd", "momentum": 0.5}}


def test_points_are_enqueued_once_through_every_kill(search):
    from optuna import Study

    told, refused = asked_through_kills(
        search, Study, "enqueue_trial", What.ADD, points=POINTS, repeat=2
    )
    assert (told, refused) == ("4 points enqueued, to be tried next", False)
    assert waiting(search) == [p for p in POINTS.values() for _ in range(2)]
    trial, _ = search.asker.ask()
    assert trial.params["learning_rate"] == 0.01


def test_points_beyond_the_budget_are_said_to_be(search):
    told, _ = asked(search, What.ADD, points=POINTS, repeat=3)
    assert "2 more than the budget of 4 trials allows: `set n_trials=6`" in told


@pytest.mark.parametrize(
    ("point", "sentence"),
    [
        ({"learning_rat": 1.0}, "learning_rat: not a searched key (did you mean 'learning_rate'?)"),
        ({"learning_rate": 1.0}, "learning_rate: found 1.0, expected 0.001 to 0.1"),
        ({"optimizer": "rprop"}, "optimizer: found 'rprop', expected one of ['adam', 'sgd']"),
        ({"epochs": 5}, "epochs: found 5, but every trial has 3, to which it is fixed"),
        (
            {"optimizer": "adam", "momentum": 0.5},
            "momentum: it is searched only where optimizer is 'sgd'",
        ),
    ],
)
def test_a_wrong_point_is_refused_with_a_sentence_for_every_mistake(search, point, sentence):
    told, refused = asked(search, What.ADD, points={"here": point, "there": {"betas": 1}})
    assert refused
    first, second = told.split("\n")
    assert first.startswith(f"here: {sentence}")
    assert second.startswith("there: betas: found 1, but every trial has")
    assert waiting(search) == []


def test_what_is_so_anyway_may_stand_in_a_point(search):
    told, refused = asked(search, What.ADD, points={"here": {"epochs": 3, "optimizer": "adam"}})
    assert not refused, told
    assert waiting(search) == [{"optimizer": "adam"}]


# -------------------------------------------------------------------------------------- ignoring


def noted(search, number):
    return get_note(_Subject(search.study, search.trials()[number]._trial_id))


def test_an_ignored_trial_counts_for_nothing_until_it_counts_again(search):
    search.run(3)
    number = best_trial(search.study).number
    point_to_best(search.folder, search.study)
    told, refused = asked_through_kills(
        search, ignoring, "set_ignored", What.IGNORE, trial=number, why="wrong data"
    )
    assert (told, refused) == (f"trial {number} is ignored", False)
    assert best_trial(search.study).number != number
    assert search.folder.best.readlink().name == f"trial_{best_trial(search.study).number}"
    assert ": wrong data" in noted(search, number)
    for record in (record_of(search.study), read_sqlite(search.folder.database, "small")):
        assert record.best.number == best_trial(search.study).number
        assert ": wrong data" in record.trials[number].reason
        assert len(record.trials) == 3
    report = Report()
    check_requests(report, search.study, search.folder)
    assert report.found == []
    asked(search, What.IGNORE, trial=number, again=True)
    assert best_trial(search.study).number == number
    assert search.folder.best.readlink().name == f"trial_{number}"
    assert "Ignored" not in noted(search, number)
    assert ignored_trials(search.study) == {}
    check_requests(report, search.study, search.folder)
    assert report.found == []
    assert asked(search, What.IGNORE, trial=9) == ("there is no trial 9", True)


def test_what_nobody_asked_to_ignore_is_found(search):
    from orchestrator.study.counting.ignored import set_ignored

    search.run(1)
    set_ignored(search.study, 0, "by hand")
    report = Report()
    check_requests(report, search.study, search.folder)
    (finding,) = report.found
    assert "ignored" in finding.problem


# -------------------------------------------------------------------------------------- settings


def test_settings_are_changed_once_through_every_kill(search):
    sets = ["n_trials=9", "search.optimizer.choices=[adam, sgd, adamw]", "search.epochs.low=1"]
    sets += ["search.epochs.high=5", "search.learning_rate.high=0.5"]
    search.run(2)
    told, refused = asked_through_kills(search, changing, "write_study_file", What.SET, sets=sets)
    assert not refused, told
    assert "n_trials is 9" in told
    known, journal = read_study_file(search.folder), read_journal(search.folder)
    assert known.settings.search["epochs"].high == 5
    assert known.asked.steered == sets
    assert [entry.from_trial for entry in journal] == [0, 2]
    search.asker.look_anew()
    assert (search.asker.total, search.asker.journal_line) == (9, 1)
    shown = search.asker._shown(search.study.get_trials(deepcopy=False))
    assert [trial.params["epochs"] for trial in shown] == [3, 3]


@pytest.mark.parametrize(
    ("sets", "sentence"),
    [
        (["seed=3"], "seed: the study has 0, now 3"),
        (["n_trials=0"], "n_trials"),
        (["search.optimizer.choices=[sgd, adam]"], "search.optimizer: found ['sgd', 'adam']"),
        (["search.learning_rate.log=false"], "search.learning_rate.log"),
        (["search.clip_norm.low=0.1", "search.clip_norm.high=1.0"], "trained with None"),
        (["search.accumulation.choices=[2, 4]"], "trained with 1, which is none of [2, 4]; add it"),
        (["recipe.epochs=5"], "recipe.epochs: the study has 3, now 5"),
        (["storage.url=sqlite:///elsewhere.db"], "storage.url"),
    ],
)
def test_what_would_change_the_meaning_of_earlier_trials_is_refused_by_name(search, sets, sentence):
    before = search.folder.settings.read_text()
    told, refused = asked(search, What.SET, sets=sets)
    assert refused
    assert sentence in told
    assert search.folder.settings.read_text() == before
    assert len(read_journal(search.folder)) == 1


def test_a_key_is_fixed_and_what_only_a_new_start_takes_up_is_said(search):
    told, refused = asked(search, What.SET, sets=["recipe.learning_rate=0.01", "devices=cpu"])
    assert not refused, told
    assert "takes devices up when it is started again" in told
    entry = read_journal(search.folder)[-1]
    assert "learning_rate" not in entry.settings.search
    assert entry.values["learning_rate"] == 0.01


def test_the_same_command_typed_again_leaves_what_was_set_and_another_overrules_it():
    began = Asked(preset="p", sets=["n_trials=4"])
    steered = began.steered_by(["n_trials=9", "search.a.high=2"])
    assert Asked(sets=["n_trials=4"]).over(steered).steered == ["n_trials=9", "search.a.high=2"]
    assert Asked(sets=["n_trials=5"]).over(steered).steered == ["search.a.high=2"]
    assert steered.steered_by(["n_trials=10"]).steered == ["search.a.high=2", "n_trials=10"]


def test_drafts_of_commands_that_were_killed_are_swept(search):
    import os
    import socket

    search.folder.requests.mkdir()
    host = socket.gethostname()
    gone, mine, elsewhere = (
        search.folder.requests / f".1.json.{name}.partial"
        for name in (f"{host}.4194000", f"{host}.{os.getpid()}", "other.4194000")
    )
    for draft in (gone, mine, elsewhere):
        draft.touch()
    sweep_drafts(search.folder)
    assert (gone.exists(), mine.exists(), elsewhere.exists()) == (False, True, True)


def test_a_request_for_a_study_waits_for_it_to_be_open(search):
    ask_for(search.folder, Request(what=What.ADD, points=POINTS))
    steering = Steering(search.folder, mock.Mock())
    assert steering.take_all() == []
    assert waiting(search) == []
    steering.open(search.study, check)
    assert [request.what for request in steering.take_all()] == [What.ADD]
