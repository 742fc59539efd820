import pytest
from pydantic import BaseModel, ConfigDict, Field

from protocol.errors import SettingsError
from protocol.problems import problems, validated
from protocol.recipe import TrainingRecipe


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    size: int = 1


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    root: str
    inner: Inner = Inner()
    ratio: float = Field(0.5, le=1)


@pytest.mark.parametrize(
    ("values", "key", "problem"),
    [
        ({}, "data.root", "is missing"),
        ({"root": 3}, "data.root", "found 3, expected text"),
        ({"root": "x", "ratio": 2}, "data.ratio", "found 2, expected 1 or less"),
        ({"root": "x", "ratio": "wide"}, "data.ratio", "found 'wide', expected a number"),
        (
            {"root": "x", "inner": {"size": "a"}},
            "data.inner.size",
            "found 'a', expected a whole number",
        ),
        ({"root": "x", "inner": 3}, "data.inner", "found 3, expected keys with values"),
    ],
)
def test_a_problem_names_the_keys_path_what_was_found_and_what_is_expected(values, key, problem):
    assert problems(Outer, values, "data") == [{"key": key, "problem": problem}]


def test_an_unknown_key_comes_with_the_known_ones():
    (problem,) = problems(Outer, {"root": "x", "rooot": 1}, "data")
    assert problem == {
        "key": "data.rooot",
        "problem": "there is no such key",
        "valid_keys": ["root", "inner", "ratio"],
    }


def test_choices_are_all_named():
    (problem,) = problems(TrainingRecipe, {"optimizer": "adm"}, "recipe")
    assert problem["problem"] == "found 'adm', expected 'adam', 'adamw' or 'sgd'"


def test_valid_settings_have_no_problems_and_numbers_in_text_count_as_numbers():
    assert problems(TrainingRecipe, {"learning_rate": "1e-5"}, "recipe") == []
    assert validated(TrainingRecipe, {"learning_rate": "1e-5"}, "recipe").learning_rate == 1e-5


def test_wrong_settings_are_refused_in_one_sentence():
    with pytest.raises(SettingsError, match=r"^recipe\.epochs: found 0, expected 1 or more$"):
        validated(TrainingRecipe, {"epochs": 0}, "recipe")
