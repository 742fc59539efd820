import os
import textwrap

import pytest

from orchestrator.settings.layers import Asked, Layers, find_preset, load_settings
from protocol.errors import SettingsError

PRESET = """
family: toy
objective: {metric: error, direction: minimize}
n_trials: 7
data: {root: phantoms, generate: {train: 8}}
recipe: {epochs: 2, batch_size: 4}
search:
  learning_rate: {low: 1e-4, high: 1e-2, log: true}
  window: {choices: [full, fourier]}
sampler: {n_startup_trials: 3}
pruner: {kind: median, n_startup_trials: 5}
"""


@pytest.fixture
def layers(tmp_path, monkeypatch):
    """Files to load settings from; `ask(config, *sets)` does so in a working directory apart."""
    elsewhere = tmp_path / "cwd"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    presets = tmp_path / "presets"
    presets.mkdir()
    (presets / "toy.yml").write_text(PRESET)
    config = tmp_path / "config.yml"

    def ask(text: str = "", *sets: str, preset: str | None = None):
        config.write_text(f"preset: presets/toy.yml\n{textwrap.dedent(text)}")
        return load_settings(Asked(preset=preset, config=str(config), sets=list(sets)))[0]

    return ask


@pytest.fixture
def refused(layers):
    """The message with which settings are refused."""

    def refuse(*given: str, **options: str) -> str:
        with pytest.raises(SettingsError) as caught:
            layers(*given, **options)
        return str(caught.value)

    return refuse


# ------------------------------------------------------------------------------- layers


def test_the_command_line_wins_over_the_config_and_the_config_over_the_preset(layers):
    assert layers().n_trials == 7
    assert layers("n_trials: 8").n_trials == 8
    assert layers("n_trials: 8", "n_trials=9").n_trials == 9
    assert layers("n_trials: 8", "n_trials=9", "n_trials=10").n_trials == 10


def test_a_layer_changes_single_keys_and_leaves_their_neighbours(layers):
    settings = layers("recipe: {epochs: 5}", "search.learning_rate.high=0.1")
    assert settings.recipe == {"epochs": 5, "batch_size": 4}
    assert settings.search["learning_rate"].model_dump(exclude_defaults=True) == {
        "low": 1e-4,
        "high": 0.1,
        "log": True,
    }


def test_fixing_a_value_in_a_later_layer_ends_its_search(layers):
    settings = layers("recipe: {learning_rate: 1e-3}")
    assert list(settings.search) == ["window"]
    assert settings.recipe["learning_rate"] == 1e-3
    assert list(layers("", "recipe.window=full").search) == ["learning_rate"]


def test_searching_a_value_in_a_later_layer_ends_its_being_fixed(layers):
    settings = layers("search: {epochs: {low: 2, high: 9}}")
    assert list(settings.search) == ["learning_rate", "window", "epochs"]
    settings = layers("recipe: {window: full}", "search.window={choices: [a, b]}")
    assert settings.search["window"].choices == ["a", "b"]


def test_a_layer_that_fixes_and_searches_a_value_searches_it(layers):
    settings = layers("recipe: {window: full}\nsearch: {window: {choices: [fourier, ones]}}")
    assert settings.search["window"].choices == ["fourier", "ones"]


@pytest.mark.parametrize(
    "given", [["search: {window: null}"], ["", "search.window=null"], ["", "search.window="]]
)
def test_null_takes_a_searched_key_away(layers, given):
    assert list(layers(*given).search) == ["learning_rate"]


def test_taking_away_what_is_not_searched_changes_nothing(layers):
    settings = layers("recipe: {window: full}", "search.window=null", "search.other=null")
    assert list(settings.search) == ["learning_rate"]


def test_choices_replace_a_range_and_a_range_replaces_choices(layers):
    settings = layers(
        "", "search.learning_rate.choices=[0.1, 0.2]", "search.window={low: 1, high: 3}"
    )
    assert settings.search["learning_rate"].choices == [0.1, 0.2]
    assert (settings.search["window"].low, settings.search["window"].high) == (1, 3)


def test_another_kind_of_sampler_or_pruner_drops_the_options_of_the_former(layers):
    settings = layers("sampler: {kind: cmaes}", "pruner.kind=asha")
    assert settings.sampler.n_startup_trials is None
    assert settings.pruner.n_startup_trials is None


def test_naming_the_kind_that_is_there_keeps_its_options(layers):
    settings = layers("sampler: {kind: tpe}", "pruner.kind=median")
    assert settings.sampler.n_startup_trials == 3
    assert settings.pruner.n_startup_trials == 5


def test_a_recipe_key_called_kind_replaces_only_itself(layers):
    settings = layers("recipe: {kind: unet}\ndata: {kind: b}", "recipe.kind=resnet")
    assert settings.recipe == {"epochs": 2, "batch_size": 4, "kind": "resnet"}
    assert settings.data["generate"] == {"train": 8}


def test_data_of_ones_own_are_never_generated_into(layers):
    assert layers().data["generate"] == {"train": 8}
    assert "generate" not in layers("data: {root: mine}").data
    assert "generate" not in layers("", "data.root=mine").data
    both = layers("data: {root: mine, generate: {train: 3}}").data
    assert both["generate"] == {"train": 3}


# ------------------------------------------------------------------------------- paths


def test_relative_paths_are_seen_from_the_file_that_holds_them(layers, tmp_path):
    assert layers().data["root"] == str(tmp_path / "presets" / "phantoms")
    text = "data: {root: mine, mask_file: m.npy, name: plain}\nrecipe: {weights_folder: w}"
    settings = layers(text)
    assert settings.data["root"] == str(tmp_path / "mine")
    assert settings.data["mask_file"] == str(tmp_path / "m.npy")
    assert settings.data["name"] == "plain"
    assert settings.recipe["weights_folder"] == str(tmp_path / "w")


def test_relative_paths_of_the_command_line_are_seen_from_the_working_directory(layers, tmp_path):
    assert layers("", "data.root=mine").data["root"] == str(tmp_path / "cwd" / "mine")
    assert layers("", "family=my.py:Mine").family == str(tmp_path / "cwd" / "my.py") + ":Mine"


def test_a_family_of_ones_own_is_seen_from_its_file(layers, tmp_path):
    assert layers("family: ../my.py:Mine").family == str(tmp_path.parent / "my.py") + ":Mine"
    assert layers("family: fbp_window").family == "fbp_window"


def test_home_is_spelt_out(layers):
    assert layers("data: {root: ~/scans}").data["root"] == os.path.expanduser("~/scans")  # noqa: PTH111


def test_a_preset_is_found_by_name_or_by_path(layers, tmp_path):
    assert find_preset("demo").name == "demo.yml"
    (tmp_path / "cwd" / "own.yml").write_text(PRESET.replace("7", "11"))
    assert layers(preset="own.yml").n_trials == 11
    assert layers("", "preset=own.yml").n_trials == 11


@pytest.mark.parametrize("name", ["demoo", "../demo", "no/such", ""])
def test_an_unknown_preset_is_refused_with_the_known_ones(name):
    with pytest.raises(SettingsError) as caught:
        find_preset(name)
    assert f"there is no {name!r}" in str(caught.value)
    assert "fbp_unet, fbp_unet_tiny, fbp_window, fbp_window_tiny" in str(caught.value)


def test_an_unknown_preset_is_answered_with_the_nearest():
    with pytest.raises(SettingsError, match="did you mean 'demo'"):
        find_preset("demoo")


def test_a_config_without_a_preset_is_refused_by_name(tmp_path):
    config = tmp_path / "mine.yml"
    config.write_text("n_trials: 3\n")
    with pytest.raises(SettingsError, match=r"mine\.yml: preset: expected the name"):
        load_settings(Asked(config=str(config)))


# ------------------------------------------------------------------------------- errors


def test_an_unknown_key_is_refused_with_its_file_and_the_nearest_key(refused, tmp_path):
    message = refused("n_trails: 3")
    assert message.startswith(f"{tmp_path / 'config.yml'}: n_trails: unknown key")
    assert "did you mean 'n_trials'?" in message
    assert "expected one of data, deterministic, deviations" in message


@pytest.mark.parametrize(
    ("given", "place", "hint"),
    [
        ("search.window.choises=[a]", "search.window.choises", "choices"),
        ("search.learning_rate.lo=1", "search.learning_rate.lo", "low"),
        ("limits.hang_second=3", "limits.hang_second", "hang_seconds"),
        ("storage.ulr=x", "storage.ulr", "url"),
        ("objective.metrics=psnr", "objective.metrics", "metric"),
        ("tracking.wand=auto", "tracking.wand", "wandb"),
    ],
)
def test_unknown_keys_below_a_section_are_answered_with_the_nearest(refused, given, place, hint):
    message = refused("", given)
    assert message.startswith(f"--set {place}: {place}: unknown key (did you mean {hint!r}?)")


def test_a_key_of_ranges_beside_choices_is_not_offered_again(refused):
    message = refused("", "search.window.log=true")
    assert "search.window.log: unknown key; expected one of choices, when" in message


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("n_trials=many", "n_trials: found 'many', expected a whole number"),
        ("n_trials=0", "n_trials: found 0, expected 1 or more"),
        ("n_trials=2.5", "n_trials: found 2.5, expected a whole number"),
        ("timeout=-1", "timeout: found -1, expected more than 0"),
        ("devices=3", "devices: found 3, expected 'auto' or 'cpu' or a list"),
        ("parallel_trials=x", "parallel_trials: found 'x', expected 'auto' or a whole number"),
        ("sampler=tpe", "sampler: found 'tpe', expected keys with values"),
        ("sampler.kind=bayes", "sampler.kind: found 'bayes', expected 'tpe', 'random',"),
        ("search=3", "search: found 3, expected keys with values"),
        ("search=[1]", "search: found [1], expected keys with values"),
        ("search.window=full", "search.window: found 'full', expected keys with values"),
        ("search.window={low: 3, high: 1}", "low (3) is above high (1)"),
        ("search.window={low: 1, high: .nan}", "search.window.high: found nan, expected a"),
        ("search.window={low: true, high: 2}", "search.window.low: found True, expected a"),
        ("search.window={low: 1}", "search.window.high: this key is missing"),
        ("search.window.choices=[]", "search.window.choices: found [], expected a list of 1 or"),
        ("search.window.choices=[[1]]", "search.window.choices.0: found [1], expected true or"),
        ("recipe=3", "recipe: found 3, expected keys with values"),
        ("data=3", "data: found 3, expected keys with values"),
        ("enqueue={x: 1}", "enqueue: found {'x': 1}, expected a list"),
        ("enqueue=[{x: [1]}]", "enqueue.0.x: found [1], expected true or false or"),
        ("objective.direction=up", "found 'up', expected 'minimize' or 'maximize'"),
        ("sampler={kind: qmc, popsize: 5}", "`popsize` is an option of cmaes, not of qmc"),
    ],
)
def test_wrong_values_are_refused_with_place_what_was_found_and_what_was_expected(
    refused, given, sentence
):
    message = refused("", given)
    assert message.startswith(f"--set {given.partition('=')[0]}: ")
    assert sentence in message
    assert "\n" not in message


def test_every_wrong_key_gets_a_sentence_of_its_own(refused, tmp_path):
    message = refused("n_trials: x\nseed: -1", "pictures=-1")
    assert {line.split(": ")[1] for line in message.splitlines()} == {
        "n_trials",
        "seed",
        "pictures",
    }


def test_of_very_many_wrong_keys_the_first_few_are_shown(refused):
    lines = refused("\n".join(f"wrong_{index}: 1" for index in range(12))).splitlines()
    assert len(lines) == 9
    assert lines[-1] == "(and 4 more)"


def test_a_missing_key_is_said_to_be_missing_in_the_preset(refused, tmp_path):
    (tmp_path / "presets" / "toy.yml").write_text("family: toy\ndata: {}\n")
    message = refused("n_trials: 3", "seed=1")
    assert message == f"{tmp_path / 'presets' / 'toy.yml'}: objective: this key is missing"


def test_an_error_names_the_layer_that_set_the_key_last(refused, tmp_path):
    (tmp_path / "presets" / "toy.yml").write_text(PRESET.replace("n_trials: 7", "n_trials: x"))
    assert refused().startswith(str(tmp_path / "presets" / "toy.yml"))
    assert refused("n_trials: y").startswith(str(tmp_path / "config.yml"))
    assert refused("n_trials: y", "n_trials=z").startswith("--set n_trials: ")


def test_a_missing_key_is_not_blamed_on_a_key_that_begins_alike(refused, tmp_path):
    preset = tmp_path / "presets" / "toy.yml"
    preset.write_text("family: toy\ndata: {}\n")
    first, second = refused("objectives: {metric: psnr}").splitlines()
    assert first == f"{preset}: objective: this key is missing"
    assert "objectives: unknown key (did you mean 'objective'?)" in second


def test_a_password_is_not_repeated_in_the_error(refused):
    for given in (["storage: {url: 'postgresql://me:s3cret@host/db'}"], [""]):
        sets = [] if given[0] else ["storage.url=postgresql://me:s3cret@host/db"]
        message = refused(*given, *sets)
        assert "storage.url: the URL holds a password" in message
        assert "s3cret" not in message


def test_an_address_to_post_to_is_not_repeated_in_the_error(refused):
    message = refused("notify: {url: 'https://hooks.example/s3cret'}")
    assert "notify.url: the URL is a secret" in message
    assert "s3cret" not in message


@pytest.mark.parametrize("entry", ["n_trials", "=3", "n_trials:3", "a..b=1", ".a=1", "a b=1"])
def test_a_set_option_that_is_no_assignment_is_refused(refused, entry):
    message = refused("", entry)
    assert message == f"--set {entry}: expected dotted.key=value, as in recipe.epochs=10"


def test_bad_yaml_in_a_set_option_is_refused_with_its_key(refused):
    assert refused("", "recipe.epochs=[1").startswith("--set recipe.epochs, line 1: ")


def test_values_of_set_options_are_yaml(layers):
    settings = layers(
        "", "search.learning_rate.low=1e-5", "recipe.precision=off", "devices=[cpu]", "timeout="
    )
    assert settings.search["learning_rate"].low == 1e-5
    assert settings.recipe["precision"] == "off"
    assert settings.devices == ["cpu"]
    assert settings.timeout is None


# ------------------------------------------------------------------------------- asking again


def test_what_is_not_asked_again_is_taken_from_the_earlier_request():
    earlier = Asked(preset="demo", config="/a.yml", sets=["n_trials=3", "seed=1"])
    assert Asked().over(earlier) == earlier
    again = Asked(sets=["n_trials=5"]).over(earlier)
    assert again == Asked(preset="demo", config="/a.yml", sets=["seed=1", "n_trials=5"])
    assert Asked(preset="other", config="/b.yml").over(earlier).preset == "other"


def test_an_option_asked_again_replaces_the_earlier_one_however_it_is_spaced():
    again = Asked(sets=["n_trials = 5"]).over(Asked(sets=["n_trials=3"]))
    assert again.sets == ["n_trials = 5"]


def test_a_preset_asked_for_by_set_replaces_an_earlier_preset():
    again = Asked(sets=["preset=other"]).over(Asked(preset="demo"))
    assert again == Asked(sets=["preset=other"])
    again = Asked(preset="demo").over(Asked(sets=["preset=other"]))
    assert load_settings(again)[0].preset == "demo"


def test_a_section_asked_for_later_wins_over_a_key_asked_for_earlier(layers):
    again = Asked(sets=["recipe={epochs: 5}"]).over(Asked(sets=["recipe.epochs=9"]))
    assert layers("", *again.sets).recipe["epochs"] == 5


def test_a_request_can_be_repeated_in_another_folder(layers, tmp_path, monkeypatch):
    asked = Asked(sets=["data.root=mine", "family=my.py:Mine", "n_trials=3", "data={root: x}"])
    first = layers("", *asked.sets)
    anchored = asked.anchored(tmp_path / "cwd")
    monkeypatch.chdir("/")
    assert layers("", *anchored.sets) == first
    assert anchored.anchored(tmp_path) == anchored
    assert "n_trials=3" in anchored.sets


# ------------------------------------------------------------------------------- parents


def test_a_parent_is_a_name_beside_the_study_or_a_path_seen_from_where_it_was_written(
    layers, tmp_path
):
    assert layers("parent: {study: direct}").parent.study == "direct"
    assert layers("parent: {study: ../old/direct}").parent.study == f"{tmp_path.parent}/old/direct"
    typed = layers("", "parent.study=./direct", "parent.trial=3").parent
    assert (typed.study, typed.trial) == (f"{tmp_path}/cwd/direct", 3)
    given = layers("parent: {checkpoint: best.pth}").parent
    assert (given.checkpoint, given.study) == (f"{tmp_path}/best.pth", None)


def test_a_checkpoint_takes_the_place_of_a_study_and_the_other_way_round(layers, tmp_path):
    over = layers("parent: {study: direct, trial: 3}", "parent.checkpoint=best.pth").parent
    assert over.model_dump() == {
        "checkpoint": f"{tmp_path}/cwd/best.pth",
        "study": None,
        "trial": "best",
    }
    assert layers("parent: {checkpoint: best.pth}", "parent.study=direct").parent.study == "direct"


def test_a_parent_s_path_is_repeated_as_it_was_meant(tmp_path):
    asked = Asked(sets=["parent.study=../direct", "parent.trial=3"]).anchored(tmp_path)
    assert asked.sets == [f'parent.study="{tmp_path.parent}/direct"', "parent.trial=3"]
    assert Asked(sets=["parent.study=direct"]).anchored(tmp_path).sets == ["parent.study=direct"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("parent: {studdy: direct}", "parent.studdy: unknown key (did you mean 'study'?)"),
        ("parent: {}", "parent: found {}, expected `study: NAME` or `checkpoint: FILE`"),
        (
            "parent: {study: direct, trial: last}",
            "parent.trial: found 'last', expected 'best' or a whole number",
        ),
    ],
)
def test_a_wrong_parent_section_is_told_with_its_file_and_key(refused, tmp_path, text, words):
    assert f"{tmp_path}/config.yml: {words}" in refused(text)


def test_what_a_layer_decides_over_another_is_told():
    layers = Layers()
    layers.add({"parallel_trials": 2, "recipe": {"epochs": 3}, "seed": 1}, "/a/studies/x.yml")
    layers.add({"parallel_trials": "auto", "seed": 1}, "/a/config.yml")
    layers.add({"recipe": {"epochs": 5}}, "--set recipe.epochs")
    assert layers.told() == [
        "parallel_trials: 'auto' by config.yml, not 2 as in x.yml",
        "recipe.epochs: 5 by --set recipe.epochs, not 3 as in x.yml",
    ]
