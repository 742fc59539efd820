"""What is true of every family's keys, its own and those of its data."""

from pathlib import Path
from typing import get_args

import pytest

from models.registry import known_families, load_family
from protocol.recipe import FREE, TrainingRecipe, keys_with, names_a_path

every_family = pytest.mark.parametrize("name", known_families())


def mentions(annotation, kind):
    return annotation is kind or any(mentions(part, kind) for part in get_args(annotation))


@every_family
def test_keys_that_hold_a_path_are_named_so_that_relative_ones_are_resolved(name):
    family = load_family(name)
    for model in (family.Settings, family.Data):
        for key, field in model.model_fields.items():
            assert names_a_path(key) or not mentions(field.annotation, Path), key


@every_family
def test_where_and_how_much_is_cached_may_change_while_a_study_goes_on(name):
    data = load_family(name).Data
    caches = {key for key in data.model_fields if key.startswith("cache_")}
    assert keys_with(FREE, data) == caches


@every_family
def test_no_family_has_a_key_of_every_familys(name):
    family = load_family(name)
    assert not family.Settings.model_fields.keys() & TrainingRecipe.model_fields.keys()
