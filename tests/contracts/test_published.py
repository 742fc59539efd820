"""Every preset beside a frozen table of what was published, and the table in the documentation."""

import pytest

from scripts.recipes_table import (
    PAGE,
    PUBLISHED,
    deviations_of,
    enqueued_point,
    point_of,
    preset,
    with_tables,
)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_presets_trial_is_the_published_one_but_for_the_deviations_it_names(name):
    published = PUBLISHED[name]
    settings, point = preset(published.get("preset", name)), point_of(published)
    ours = enqueued_point(settings, point)
    differing = {key for key, value in published["values"].items() if ours[key] != value}
    named = deviations_of(settings, point).keys() & published["values"].keys()
    assert named == differing


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_searched_key_can_take_the_published_strength(name):
    settings = preset(PUBLISHED[name].get("preset", name))
    first = settings.enqueue[point_of(PUBLISHED[name]) - 1]
    for key, spec in settings.search.items():
        if spec.when or key not in first:
            continue
        choices = getattr(spec, "choices", None)
        if choices is None:
            assert spec.low <= first[key] <= spec.high, key
        else:
            assert first[key] in choices, key


def test_the_table_in_the_documentation_is_that_of_the_presets():
    page = PAGE.read_text(encoding="utf-8")
    assert page == with_tables(page), "run python -m scripts.recipes_table"
