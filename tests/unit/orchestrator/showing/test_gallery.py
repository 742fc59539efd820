import base64
import io

import matplotlib.image
import numpy as np
import pytest

from orchestrator.showing.gallery import gallery_of, kept_cases
from orchestrator.showing.look import look
from tests.unit.orchestrator.showing.conftest import TARGET, shown_by

MANY = 1_000_000


def pixels(url):
    png = base64.b64decode(url.removeprefix("data:image/png;base64,"))
    return matplotlib.image.imread(io.BytesIO(png))


def shown(study, numbers, **options):
    trials = [study.record.trial(number) for number in numbers]
    return gallery_of(study, trials, ["validation_0000"], MANY, **options)


def test_target_and_trials_stand_side_by_side_in_the_targets_window(seen):
    gallery = shown(seen, [2, 0])
    (view,) = gallery.cases[0]["views"]
    assert view["window"] == [0.0, 1.0]
    assert [tile["label"] for tile in view["tiles"]] == ["Target", "Trial 2", "Trial 0"]
    assert view["tiles"][1]["under"] == "psnr 31.25\nhere PSNR 2 dB"
    for tile, expected in zip(view["tiles"], (TARGET, shown_by(2), shown_by(0)), strict=True):
        found = np.rint(255 * pixels(tile["image"]))
        np.testing.assert_allclose(found, 255 * np.clip(expected, 0, 1), atol=0.51)
    assert gallery.remarks == []


def test_differences_of_all_trials_have_one_scale(seen):
    (view,) = shown(seen, [0, 3]).cases[0]["views"]
    assert view["limit"] == pytest.approx(0.04, abs=1e-4)
    _, small, large = view["tiles"]
    blue = [pixels(tile["difference"])[..., 2].mean() for tile in (small, large)]
    assert blue[1] < 0.3 < blue[0] - 0.2  # dark red at the scale's end, and pale before it


def test_a_trial_with_another_target_is_not_laid_beside(made):
    made.keep(1, TARGET, TARGET + 0.5)
    gallery = shown(look(made.folder), [2, 1])
    assert [tile["label"] for tile in gallery.cases[0]["views"][0]["tiles"]] == [
        "Target",
        "Trial 2",
    ]
    assert gallery.remarks == [
        "trial 1 is not shown for validation_0000: its target is another than that of trial 2"
    ]


def test_a_baseline_stands_once_where_it_is_the_same_and_says_whose_it_is_otherwise(made):
    for number in (0, 1, 2):
        made.keep(number, shown_by(number), TARGET, baseline=TARGET * (0.5 if number else 0.7))
    study = look(made.folder)
    same = shown(study, [1, 2]).cases[0]["views"][0]["tiles"]
    assert [tile["label"] for tile in same] == ["Target", "FBP", "Trial 1", "Trial 2"]
    other = shown(study, [0, 1, 2]).cases[0]["views"][0]["tiles"]
    labels = [tile["label"] for tile in other]
    assert labels[1:3] == ["FBP, of trial 0", "FBP, of trial 1"]


def test_what_is_missing_or_damaged_is_remarked(made):
    (made.trial(0).panels / "validation_0000.panels").write_bytes(b"{}")
    gallery = shown(look(made.folder), [2, 0, 4])
    assert "trial_0/panels/validation_0000.panels is damaged" in gallery.remarks[0]
    assert gallery.remarks[1] == "trial 4 kept nothing of validation_0000"


def test_so_many_cases_are_shown_as_fit_and_one_at_least(made):
    names = [f"validation_000{index}" for index in range(4)]
    for name in names:
        made.keep(2, shown_by(2), TARGET, name)
    study = look(made.folder)
    whole = gallery_of(study, [study.best], names, MANY)
    some = gallery_of(study, [study.best], names, whole.size // 2)
    assert [case["case"] for case in whole.cases] == names
    assert [case["case"] for case in some.cases] == names[:2]
    assert some.remarks == ["2 more cases would make the page too large: `gallery` shows them"]
    assert len(gallery_of(study, [study.best], names, 0).cases) == 1


def test_cases_that_somebody_asked_for_of_one_trial_are_not_among_the_common_ones(made):
    made.keep(2, shown_by(2), TARGET, "test_0007")
    study = look(made.folder)
    assert kept_cases(study, study.record.trials[:4]) == ["validation_0000"]
    assert kept_cases(study, [study.best]) == ["test_0007", "validation_0000"]


def test_images_of_a_family_without_roles_are_shown_without_differences(made):
    from models.panels import keep_panels
    from models.pictures import Panel, Picture

    for number in (0, 2):
        panels = [Panel(title=name, image=shown_by(number)) for name in ("slice", "map")]
        picture = Picture(name="a", title="one", panels=panels, window=(0.0, 1.0))
        keep_panels(made.trial(number).panels, "validation_0000", picture, 1)
    (view,) = shown(look(made.folder), [2, 0]).cases[0]["views"]
    labels = [tile["label"] for tile in view["tiles"]]
    assert labels == ["Trial 2, slice", "Trial 2, map", "Trial 0, slice", "Trial 0, map"]
    assert view["limit"] is None
    assert not any("difference" in tile for tile in view["tiles"])
