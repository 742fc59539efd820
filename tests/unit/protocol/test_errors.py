"""The error tree, and errors on their way between processes."""

import copy
import json

import pytest

from protocol.errors import CheckpointError, DataError, SettingsError, UserError, packed, unpacked


@pytest.mark.parametrize("kind", [UserError, SettingsError, DataError, CheckpointError])
@pytest.mark.parametrize(
    "carry",
    [
        lambda error: unpacked(json.loads(json.dumps(packed(error)))),
        copy.copy,  # by what pickling goes by, as between a rank and its data loaders
    ],
)
def test_an_error_keeps_its_class_its_key_and_its_sentence(kind, carry):
    error = kind("found 3, expected 4", key="data.size", source="x.yml")
    same = carry(error)
    assert type(same) is kind
    assert (same.problem, same.key, same.source) == ("found 3, expected 4", "data.size", "x.yml")
    assert str(same) == str(error) == "x.yml: data.size: found 3, expected 4"


def test_a_class_of_a_familys_own_arrives_as_the_nearest_of_ours():
    class OwnError(DataError):
        pass

    assert type(unpacked(packed(OwnError("no")))) is DataError


def test_an_error_without_a_key_is_its_sentence_alone():
    assert str(SettingsError("no")) == "no"


def test_an_error_whose_source_is_found_out_later_keeps_the_rest():
    placed = SettingsError("no", key="recipe.epochs").at(source="x.yml")
    assert (str(placed), placed.key) == ("x.yml: recipe.epochs: no", "recipe.epochs")
