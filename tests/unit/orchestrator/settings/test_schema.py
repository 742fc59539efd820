import pytest
from pydantic import ValidationError

from orchestrator.settings.schema import (
    Choices,
    ParentSettings,
    PrunerSettings,
    Range,
    SamplerSettings,
    Settings,
    StorageSettings,
    options_of,
)
from tests.searches import make_settings


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"low": 3, "high": 1}, r"low \(3\) is above high \(1\)"),
        ({"low": 0.0, "high": 1.0, "log": True}, "needs low above 0, found 0.0"),
        ({"low": 0.1, "high": 1.0, "log": True, "step": 0.1}, "log and step exclude each other"),
        ({"low": 0.1, "high": 1.0, "step": 0}, "greater than 0"),
        ({"low": 0.1, "high": float("nan")}, "finite"),
        ({"low": 0.1, "high": float("inf")}, "finite"),
        ({"low": True, "high": 3}, "valid integer"),
        ({"low": "1", "high": 3}, "valid integer"),
    ],
)
def test_impossible_ranges_are_refused(given, problem):
    with pytest.raises(ValidationError, match=problem):
        Range(**given)


@pytest.mark.parametrize(
    ("given", "integer"),
    [
        ({"low": 1, "high": 10}, True),
        ({"low": 1, "high": 10, "step": 3}, True),
        ({"low": 1, "high": 10, "step": 0.5}, False),
        ({"low": 1, "high": 10.0}, False),
        ({"low": 0.0, "high": 1.0}, False),
    ],
)
def test_whole_numbers_make_a_whole_number_search(given, integer):
    assert Range(**given).integer is integer


@pytest.mark.parametrize("choices", [["a", "b", "a"], [1, 1.0], [0, False], [1, True, 2]])
def test_choices_that_the_study_could_not_tell_apart_are_refused(choices):
    with pytest.raises(ValidationError, match="a choice stands twice"):
        Choices(choices=choices)


@pytest.mark.parametrize("text", ["8", "1e-4", "-0.5"])
def test_a_number_in_quotes_among_numbers_is_refused(text):
    with pytest.raises(ValidationError, match="is text among numbers"):
        Choices(choices=[4, text])
    assert Choices(choices=["4", text]).choices == ["4", text]


def test_nan_is_no_choice():
    with pytest.raises(ValidationError, match="NaN cannot be a choice"):
        Choices(choices=[1.0, float("nan")])


def test_choices_keep_their_types():
    assert [type(choice) for choice in Choices(choices=[2, 3.0, "four", True, None]).choices] == [
        int,
        float,
        str,
        bool,
        type(None),
    ]


@pytest.mark.parametrize(
    ("section", "given", "problem"),
    [
        (SamplerSettings, {"kind": "cmaes", "group": True}, "`group` is an option of tpe"),
        (SamplerSettings, {"popsize": 5}, "`popsize` is an option of cmaes, not of tpe"),
        (SamplerSettings, {"kind": "random", "n_startup_trials": 3}, "of tpe and cmaes and gp"),
        (SamplerSettings, {"group": True, "multivariate": False}, "`group` needs `multivariate`"),
        (PrunerSettings, {"patience": 3}, "`patience` is an option of patient, not of median"),
        (PrunerSettings, {"kind": "none", "percentile": 3.0}, "not of none"),
        (PrunerSettings, {"kind": "threshold"}, "needs `lower` or `upper`"),
    ],
)
def test_options_of_another_sampler_or_pruner_are_refused(section, given, problem):
    with pytest.raises(ValidationError, match=problem):
        section(**given)


def test_options_are_only_those_that_were_set():
    assert options_of(SamplerSettings(kind="tpe", n_startup_trials=0, group=None)) == {
        "n_startup_trials": 0
    }


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:secret@host/studies",
        "mysql+pymysql://user:se${X}@host/studies",
        "postgresql://user:a/b@host/studies",
        "postgresql://user:${X}y@host/studies",
        "postgresql://:secret@host/studies",
        "postgresql://user@host/studies?password=secret",
        "postgresql://host/studies?sslmode=require&sslPassword=secret",
        "mysql+pymysql://user@host/studies?passwd=se${X}",
    ],
)
def test_a_password_in_the_storage_url_is_refused(url):
    with pytest.raises(ValidationError, match="the URL holds a password"):
        StorageSettings(url=url)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:${PASSWORD}@host:5432/studies",
        "postgresql://user@host/studies",
        "postgresql://user@host/studies?password=${PASSWORD}&sslmode=require",
        "postgresql://host:5432/studies",
        "sqlite:////data/study.db",
    ],
)
def test_a_storage_url_without_a_password_is_taken(url):
    assert StorageSettings(url=url).url == url


MINIMAL = {
    "preset": "p",
    "family": "f",
    "data": {},
    "objective": {"metric": "psnr", "direction": "maximize"},
}


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"devices": ["cuda:0", "cuda:0"]}, "each once"),
        ({"devices": []}, "one or more devices"),
        ({"devices": ["gpu"]}, "'gpu' is no device"),
        ({"devices": ["cuda"]}, "'cuda' is no device"),
        ({"parallel_trials": 0}, "a number from 1"),
        ({"n_trials": 0}, "greater than or equal to 1"),
        ({"timeout": 0}, "greater than 0"),
        ({"parallel": {"ranks": 0}}, "greater than or equal to 1"),
        ({"keep": {"best_trials": 0}}, "greater than or equal to 1"),
    ],
)
def test_impossible_settings_are_refused(given, problem):
    with pytest.raises(ValidationError, match=problem):
        Settings(**MINIMAL, **given)


def test_settings_need_no_more_than_a_family_its_data_and_an_objective():
    settings = Settings(**MINIMAL)
    assert (settings.n_trials, settings.sampler.kind, settings.pruner.kind) == (20, "tpe", "median")


def test_a_study_s_best_trial_is_meant_unless_a_number_is_given():
    assert ParentSettings(study="direct").trial == "best"
    assert ParentSettings(study="direct", trial=4).trial == 4


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({}, "expected `study: NAME` or `checkpoint: FILE`"),
        ({"study": "direct", "checkpoint": "best.pth"}, "one of the two"),
        ({"checkpoint": "best.pth", "trial": 2}, "`trial` belongs to `study`"),
        ({"study": "direct", "trial": "last"}, "'best'"),
        ({"study": "direct", "trial": -1}, "greater than or equal to 0"),
        ({"study": "direct", "trail": 1}, "not permitted"),
        ({"study": ""}, "at least 1 character"),
    ],
)
def test_what_names_no_one_model_is_refused(section, words):
    with pytest.raises(ValidationError, match=words):
        ParentSettings.model_validate(section)


def test_a_range_of_a_whole_number_key_is_read_as_whole_however_its_ends_are_written():
    search = make_settings({"warmup_steps": {"low": 1e1, "high": 1e3, "log": True}}, {}).search
    assert search["warmup_steps"].integer
    other = make_settings({"warmup_steps": {"low": 1.5, "high": 1e3}}, {}).search
    assert not other["warmup_steps"].integer  # refused when a sample is tried
    assert (
        not make_settings({"learning_rate": {"low": 1.0, "high": 2.0}}, {})
        .search["learning_rate"]
        .integer
    )
