import pytest
import yaml

from orchestrator.confirmation.saved import Confirmation, Confirmed, Run, save_confirmation
from orchestrator.showing.comparison import compared
from orchestrator.showing.look import look
from protocol.errors import SettingsError
from tests.made_study import MadeStudy


def study(runs, name, values, **settings):
    made = MadeStudy(runs, name)
    made.write_settings(**settings)
    for value in values:
        made.add(value)
    return made


def confirm(made, values):
    runs = [
        Run(trial=n, repetition=n, seed=n, state="complete", value=value, reason="")
        for n, value in enumerate(values)
    ]
    trial = Confirmed(trial=0, params={}, search_value=1.0, asked=len(runs), runs=runs,
                      mean=sum(values) / len(values))  # fmt: skip
    save_confirmation(
        made.folder,
        Confirmation(
            study="x",
            metric="psnr",
            direction="maximize",
            level=0.95,
            finished=True,
            trials=[trial],
            verdict="",
        ),
    )


def compare(*made):
    return compared([look(one.folder) for one in made])


def test_the_better_best_comes_first_and_by_how_much_is_told(tmp_path):
    found = compare(study(tmp_path, "a", [24.0]), study(tmp_path, "b", [20.0, 25.5]))
    assert [side.name for side in found.sides] == ["b", "a"]
    assert found.verdict.startswith(
        "The best of b (trial 1) is better than that of a (trial 0) by 1.5 psnr."
    )
    assert "nothing is known of luck" in found.verdict


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        ([30.0, 30.1, 30.2], [25.0, 25.1, 25.2], "(95 % interval 4.7733 to 5.2267"),
        ([30.0, 25.0, 28.0], [29.0, 24.0, 27.0], "which may well be luck"),
        ([30.0], [29.0], "of so few runs no interval is known"),
    ],
)
def test_where_both_are_confirmed_their_means_are_tested(tmp_path, one, other, said):
    a, b = study(tmp_path, "a", [31.0]), study(tmp_path, "b", [32.0])
    confirm(a, one)
    confirm(b, other)
    verdict = compare(b, a).verdict
    assert "Trained again with fresh seeds, a is ahead of b by" in verdict
    assert said in verdict


@pytest.mark.parametrize(
    ("objective", "what"),
    [
        ({"metric": "ssim", "direction": "maximize"}, "the metric psnr, and study 'b' ssim"),
    ],
)
def test_studies_that_search_for_something_else_are_refused(tmp_path, objective, what):
    with pytest.raises(SettingsError, match=what):
        compare(study(tmp_path, "a", [1.0]), study(tmp_path, "b", [2.0], objective=objective))


def test_settings_that_differ_are_named_and_where_they_ran_is_not(tmp_path):
    a = study(tmp_path, "a", [1.0], recipe={"epochs": 3}, devices="cpu", n_trials=4)
    b = study(tmp_path, "b", [2.0], recipe={"epochs": 5, "optimizer": "adam"}, n_trials=9)
    assert compare(a, b).differing == {
        "recipe.epochs": ["5", "3"],
        "recipe.optimizer": ["adam", "-"],
    }


def test_other_data_are_warned_of(tmp_path):
    a, b = study(tmp_path, "a", [1.0]), study(tmp_path, "b", [2.0])
    for made, fingerprint in ((a, "aaaa"), (b, "bbbb")):
        content = yaml.safe_load(made.folder.settings.read_text())
        place = {"path": "data", "files": 1, "bytes": 1, "fingerprint": fingerprint}
        made.folder.settings.write_text(yaml.safe_dump(content | {"inputs": {"data.root": place}}))
    (warning,) = compare(a, b).warnings
    assert "not judged on the same data (fingerprints: b bbbb, a aaaa)" in warning


def test_a_study_without_a_complete_trial_is_compared_with_nothing(tmp_path):
    found = compare(study(tmp_path, "a", []), study(tmp_path, "b", [2.0]))
    assert "nothing to compare" in found.verdict
    assert [side.name for side in found.sides] == ["b", "a"]
