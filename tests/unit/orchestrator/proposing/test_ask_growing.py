"""A space that grows while a study goes on: earlier trials count, and every proposal follows."""

import io
import json
import warnings

import optuna
import pytest
from optuna_dashboard import wsgi

from benchmarks.growing import compared
from orchestrator.settings.space import Space
from orchestrator.study.counting.ignored import set_ignored
from orchestrator.study.journal import note, read_journal
from orchestrator.verifying.findings import Report
from orchestrator.verifying.replay import check_suggestions
from protocol.recipe import TrainingRecipe
from tests.searches import SmallSearch, make_settings

FIRST = {"x": {"low": 0.5, "high": 1.0}, "window": {"choices": ["abcdef", "abcd"]}}
SECOND = {"x": {"low": -1.0, "high": 1.0}, "window": {"choices": ["abcdef", "abcd", "a"]}}
THIRD = {**SECOND, "y": {"low": 0.0, "high": 2.0}}
CONDITIONAL = {**THIRD, "z": {"low": 0.0, "high": 1.0, "when": {"window": "a"}}}
FIXED = {"y": 2.0, "z": 0.0}


class Growing(SmallSearch):
    def grow(self, search, recipe=FIXED):
        """As the runner does once `set` has written what is to be."""
        settings = make_settings(
            search, self.settings.sampler.model_dump(exclude_unset=True), recipe=recipe
        )
        space = Space.of(settings.search, settings.recipe, TrainingRecipe().model_dump())
        note(self.folder, settings, space, len(self.trials()))
        self.settings = settings
        self.asker.look_anew()

    def problems(self):
        report = Report()
        check_suggestions(report, self.study, read_journal(self.folder))
        assert report.looked["suggestion"] == len(self.trials())
        return report.found


@pytest.fixture(autouse=True)
def quiet():
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def growing(tmp_path, kind, **options):
    search = Growing(tmp_path, make_settings(FIRST, {"kind": kind, **options}, recipe=FIXED))
    search.grow(FIRST)
    return search


@pytest.mark.parametrize("kind", ["tpe", "random", "cmaes", "qmc"])
def test_every_proposal_in_a_space_that_grew_twice_can_be_recomputed(tmp_path, kind):
    startup = {"n_startup_trials": 3} if kind in ("tpe", "cmaes") else {}
    search = growing(tmp_path, kind, **startup)
    search.run(8)
    search.grow(SECOND)
    search.run(6)
    search.grow(CONDITIONAL)
    search.run(6)
    search.restart()
    search.asker.look_anew()
    search.run(4)
    search.grow({"x": SECOND["x"]}, {**FIXED, "window": "a"})
    search.run(4)
    assert search.problems() == []
    assert search.points()[-1].keys() == {"x"}
    searched = [point.keys() for point in search.points()]
    assert {"x", "window", "y"} <= searched[16]
    assert "y" not in searched[13]


def test_earlier_trials_keep_their_place_as_what_they_were_trained_with(tmp_path):
    search = growing(tmp_path, "tpe", n_startup_trials=3)
    search.run(10)
    search.grow(THIRD)
    trial, recipe = search.asker.ask()
    # As one joint proposal, for which all trials need all keys.
    assert trial.params.keys() == {"x", "window", "y"}
    assert recipe.given["y"] == trial.params["y"]
    shown = search.asker._shown(search.study.get_trials(deepcopy=False))
    assert [known.params["y"] for known in shown[:10]] == [2.0] * 10
    assert all("y" not in known.params for known in search.trials()[:10])


def test_a_trial_that_runs_while_the_space_grows_stays_what_it_was(tmp_path):
    search = growing(tmp_path, "tpe")
    trial, recipe = search.asker.ask()
    search.grow(THIRD, {"z": 0.0})
    again, resumed = search.asker.attach(search.trials()[0])
    assert (again.params, resumed.given) == (trial.params, recipe.given)
    assert resumed.given["y"] == 2.0
    search.tell(again, resumed)
    search.run(3)
    assert search.problems() == []


def test_ignored_trials_are_seen_neither_then_nor_when_it_is_recomputed(tmp_path):
    search = growing(tmp_path, "tpe", n_startup_trials=2)
    search.run(6)
    set_ignored(search.study, 2, "by anna: wrong data")
    search.asker.look_anew()
    search.run(4)
    visible = search.trials()[-1].user_attrs["visible"]
    assert visible["finished"] == "0-1,3-8"
    set_ignored(search.study, 2, None)
    search.asker.look_anew()
    search.run(2)
    assert search.trials()[-1].user_attrs["visible"]["finished"] == "0-10"
    assert search.problems() == []


def shown_by_the_dashboard(storage, path):
    """What its server answers."""
    environment = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "QUERY_STRING": "after=0",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
        "wsgi.url_scheme": "http",
        "SERVER_NAME": "here",
        "SERVER_PORT": "0",
        "CONTENT_LENGTH": "0",
    }
    told = []
    body = b"".join(wsgi(storage)(environment, lambda status, *_: told.append(status)))
    assert told[0].startswith("200"), (path, body)
    return json.loads(body)


def test_the_dashboard_shows_a_study_whose_space_has_grown(tmp_path):
    search = growing(tmp_path, "random")
    search.run(3)
    search.grow(THIRD)
    search.run(3)
    set_ignored(search.study, 2, "by anna: wrong data")
    storage = optuna.storages.RDBStorage(f"sqlite:///{search.folder.database}")
    (summary,) = shown_by_the_dashboard(storage, "/api/studies")["study_summaries"]
    place = f"/api/studies/{summary['study_id']}"
    study = shown_by_the_dashboard(storage, place)
    shown = [{key["name"] for key in trial["params"]} for trial in study["trials"]]
    assert shown == [{"x", "window"}] * 3 + [{"x", "window", "y"}] * 3
    assert {key["name"] for key in study["union_search_space"]} == {"x", "window", "y"}
    assert "wrong data" in json.dumps(study["user_attrs"])
    shown_by_the_dashboard(storage, f"{place}/param_importances")
    storage.engine.dispose()


def test_values_that_no_trial_can_have_are_left_out_of_an_enqueued_point_and_named(tmp_path):
    search = growing(tmp_path, "tpe")
    said = []
    search.asker.say = said.append
    search.study.enqueue_trial({"x": 7.5, "window": "none such", "typo": 3})
    with warnings.catch_warnings(action="error"):
        trial, _ = search.asker.ask()
    assert trial.params["x"] == 7.5
    assert trial.params["window"] in FIRST["window"]["choices"]
    beyond, sentence = said
    assert "x=7.5, which is not 0.5 to 1.0; it is tried all the same" in beyond
    assert "window='none such'" in sentence
    assert "typo=3" in sentence
    assert search.problems() == []


@pytest.mark.long
def test_earlier_trials_spare_more_than_a_third_of_those_after_the_space_has_grown():
    seen, forgotten = compared(seeds=2)
    assert forgotten >= 1.5 * seen
