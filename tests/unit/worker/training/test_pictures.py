from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from models.pictures import Panel, Picture
from protocol.messages import Finished, Pictured, Validated
from tests.ranks import attempt, events, make_plan
from worker.calls.show import visualize
from worker.training.pictures import caption_of, draw, evenly_spread

RAMP = np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64)


def drawn(folder, *panels, window=(0.0, 1.0)):
    path = folder / "drawn.png"
    picture = Picture(name="x", title="PSNR 30.1 dB, SSIM 0.91", panels=panels, window=window)
    draw(picture, path)
    return matplotlib.image.imread(path)[..., :3]


def test_each_panel_takes_its_place_in_one_row(tmp_path):
    one = drawn(tmp_path, Panel(title="a", image=RAMP))
    three = drawn(tmp_path, *(Panel(title="a", image=RAMP) for _ in range(3)))
    assert three.shape[0] == one.shape[0]
    assert 2.4 < three.shape[1] / one.shape[1] < 3.0


def test_panels_may_stand_in_several_rows_in_reading_order(tmp_path):
    levels = [np.full((32, 32), level, np.float32) for level in (0.0, 0.2, 0.4, 0.6)]
    panels = [Panel(title="", image=level) for level in levels]
    picture = Picture(name="x", title="", panels=panels, window=(0.0, 1.0), per_row=2)
    path = tmp_path / "grid.png"
    draw(picture, path)
    image = matplotlib.image.imread(path)[..., 0]
    height, width = image.shape
    assert 0.8 < height / width < 1.3
    found = [
        image[row, column]
        for row in (height // 3, 4 * height // 5)
        for column in (width // 4, 3 * width // 4)
    ]
    assert found == pytest.approx([0.0, 0.2, 0.4, 0.6], abs=0.01)


def test_all_panels_share_the_pictures_window(tmp_path):
    """An image twice as bright as the window's top is white all over; half as bright is grey."""
    bright, half = np.full((32, 32), 2.0, np.float32), np.full((32, 32), 0.5, np.float32)
    image = drawn(tmp_path, Panel(title="", image=half), Panel(title="", image=bright))
    height, width, _ = image.shape
    middle = int(height * 0.6)
    assert image[middle, width // 4].tolist() == pytest.approx([0.5] * 3, abs=0.01)
    assert image[middle, 3 * width // 4].tolist() == [1.0] * 3


def test_a_panel_may_have_a_window_of_its_own(tmp_path):
    half = np.full((32, 32), 0.5, np.float32)
    image = drawn(
        tmp_path,
        Panel(title="", image=half),
        Panel(title="", image=half, window=(0.0, 0.5)),
        window=(0.0, 2.0),
    )
    height, width, _ = image.shape
    middle = int(height * 0.6)
    assert image[middle, width // 4].tolist() == pytest.approx([0.25] * 3, abs=0.01)
    assert image[middle, 3 * width // 4].tolist() == [1.0] * 3


def test_an_outline_runs_round_its_pixels_and_leaves_the_panel_as_large_as_it_was(tmp_path):
    dark, corner = np.zeros((32, 32), np.float32), np.zeros((32, 32), bool)
    corner[:16, :16] = True
    plain = drawn(tmp_path, Panel(title="", image=dark))
    outlined = drawn(tmp_path, Panel(title="", image=dark, outlines={"red": corner}))
    black = (plain == 0).all(axis=2)
    top, *_, bottom = np.flatnonzero(black.mean(axis=1) > 0.5)
    left, *_, right = np.flatnonzero(black.mean(axis=0) > 0.5)
    red = np.argwhere((outlined[..., 0] > 0.5) & (outlined[..., 1] < 0.3))
    side = (bottom - top) / 2
    assert red.max(axis=0) == pytest.approx([top + side, left + side], abs=3)
    assert outlined[top + 5 : bottom - 5, left + 5 : right - 5].max(axis=2).mean() < 0.1
    assert outlined.shape == plain.shape


def test_a_difference_is_white_at_zero_and_as_red_above_as_it_is_blue_below(tmp_path):
    difference = np.zeros((30, 30), np.float32)
    difference[:, :10], difference[:, 20:] = -0.1, 0.1
    image = drawn(tmp_path, Panel(title="difference", image=difference, difference=True))
    row = image[int(image.shape[0] * 0.6)]
    colours = {tuple(np.round(pixel, 1)) for pixel in row}
    reds = [c for c in colours if c[0] > c[2] + 0.2]
    blues = [c for c in colours if c[2] > c[0] + 0.2]
    assert reds
    assert blues
    inner = row[len(row) // 3 : len(row) // 2]
    assert np.allclose(inner, 0.97, atol=0.04)


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_a_difference_of_nothing_is_drawn_all_the_same(tmp_path, value):
    image = np.full((8, 8), value, np.float32)
    assert drawn(tmp_path, Panel(title="", image=image, difference=True)).size > 0


def test_a_picture_that_could_not_be_written_leaves_the_old_one(tmp_path):
    drawn(tmp_path, Panel(title="a", image=RAMP))
    before = (tmp_path / "drawn.png").read_bytes()
    with pytest.raises(ValueError, match="too many values"):
        drawn(tmp_path, Panel(title="a", image=RAMP), Panel(title="b", image=RAMP[None, None]))
    assert [path.name for path in tmp_path.iterdir()] == ["drawn.png"]
    assert (tmp_path / "drawn.png").read_bytes() == before


@pytest.mark.parametrize(
    ("count", "total", "expected"),
    [(4, 10, [0, 3, 6, 9]), (3, 2, [0, 1]), (1, 5, [0]), (0, 5, []), (2, 1, [0])],
)
def test_samples_are_spread_evenly_from_the_first_to_the_last(count, total, expected):
    assert evenly_spread(count, total) == expected


def test_a_trial_ends_with_pictures_of_its_best_weights_each_told_once(tmp_path):
    trial = make_plan(tmp_path, pictures=3, recipe={"epochs": 1})
    assert attempt(trial) == [0]
    paths = [event.path for event in events(trial, Pictured)]
    assert paths == [f"pictures/validation_000{index}.png" for index in (0, 4, 7)]
    kept = sorted(path.name for path in trial.panels.iterdir())
    assert kept == [f"validation_000{index}.panels" for index in (0, 4, 7)]
    assert all((trial.path / path).stat().st_size > 1000 for path in paths)
    make_plan(tmp_path, pictures=3, recipe={"epochs": 1}, attempt=1)
    assert attempt(trial) == [0]
    assert [event.path for event in events(trial, Pictured)] == paths


@pytest.mark.parametrize(
    ("recipe", "ends_with_best"),
    [
        ({"epochs": 50, "early_stopping": 2, "learning_rate": 0.2}, False),
        ({"epochs": 2, "learning_rate": 0.01, "ema_decay": 0.9}, True),
    ],
)
def test_a_trials_pictures_are_those_of_its_best_weights_not_its_last(
    tmp_path, recipe, ends_with_best
):
    trial = make_plan(tmp_path, pictures=1, recipe=recipe)
    assert attempt(trial) == [0]
    drawn_by_trial = (trial.pictures / "validation_0000.png").read_bytes()
    shown = {
        name: Path(
            visualize(str(path), str(tmp_path / name), "validation", 1, "cpu")["pictures"][0]
        )
        for name, path in (("best", trial.best), ("last", trial.last))
    }
    assert drawn_by_trial == shown["best"].read_bytes()
    bests = [event.epoch for event in events(trial, Validated) if event.best]
    assert (bests[-1] == events(trial, Finished)[0].epoch) == ends_with_best
    assert ends_with_best or drawn_by_trial != shown["last"].read_bytes()


def test_a_caption_stands_above_the_title(tmp_path):
    picture = Picture(
        name="x", title="Sample 1", panels=[Panel(title="a", image=RAMP)], window=(0.0, 1.0)
    )
    draw(picture, tmp_path / "plain.png")
    draw(picture, tmp_path / "said.png", caption_of("demo", 7, "validation", 3))
    plain, said = (
        matplotlib.image.imread(tmp_path / name)[..., :3] for name in ("plain.png", "said.png")
    )
    more = said.shape[0] - plain.shape[0]
    assert 15 < more < 30
    np.testing.assert_array_equal(said[-200:, :200], plain[-200:, :200])
    assert caption_of("demo", 7, "validation", 3) == "demo, trial 7, validation split, epoch 3"
