"""What every family promises of a training to its end: it learns, is kept, and can be looked at."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.image import imread

from protocol.messages import Pictured
from protocol.panels import load_panels
from tests.contracts.conftest import PICTURES
from tests.contracts.objectives import GOALS
from tests.ranks import events
from worker.calls.show import evaluate, load_model
from worker.ranks.batches import validation_rounds
from worker.ranks.loading import BatchLoader
from worker.ranks.trial import open_split
from worker.ranks.validate import Validator
from worker.training.checkpoint import load_checkpoint
from worker.training.keeping import Keeper
from worker.training.pictures import sample_pictures


def test_the_tiny_preset_reaches_its_objective_and_betters_the_untrained_model(
    case, bench, trained, record_property
):
    assert case.name in GOALS, f"state in tests/contracts/objectives.py what {case.name} reaches"
    goal, objective = GOALS[case.name], bench.trial.plan.objective
    values = [epoch.metrics[objective.metric] for epoch in trained.epochs]
    sign = 1 if objective.direction == "maximize" else -1
    reached = sign * max(sign * value for value in values)
    untrained = Validator.of_trial(bench.trial).metrics(bench.model)[objective.metric]
    record_property("reached", reached)
    record_property("untrained", untrained)
    print(f"{case.name}: {objective.metric} {reached:.5g}, untrained {untrained:.5g}")
    assert sign * reached >= sign * goal.reaches, (reached, untrained)
    assert sign * (reached - untrained) >= goal.gain, (reached, untrained)


def test_the_checkpoint_evaluates_as_the_training_did(trained):
    best = load_checkpoint(trained.folder.best)
    told = next(epoch.metrics for epoch in trained.epochs if epoch.epoch == best["epoch"])
    assert evaluate(trained.folder.best, "validation") == pytest.approx(told, rel=1e-5)


def test_saving_and_loading_gives_the_same_output_bit_for_bit(bench):
    batch = bench.batch("train", range(2))
    for _ in range(2):
        bench.step(batch)
    keeper = Keeper(bench.trial, bench.learner)
    keeper.keep_validated({}, earlier=0)
    keeper.wait()
    bench.family, bench.model = load_model(bench.trial.folder.best)
    judged = bench.batch("validation", range(2))
    loaded = bench.evaluate(judged)
    bench.model = bench.learner.judged_model
    kept = bench.evaluate(judged)
    assert loaded.keys() == kept.keys()
    assert all(torch.equal(loaded[name], kept[name]) for name in kept)


def test_what_can_be_recomputed_is_not_in_the_checkpoint(bench):
    """A checkpoint holds what is learned; large buffers make every trial pay for them."""
    keeper = Keeper(bench.trial, bench.learner)
    keeper.keep_validated({}, earlier=0)
    keeper.wait()
    learned = sum(weight.numel() * weight.element_size() for weight in bench.model.parameters())
    assert bench.trial.folder.best.stat().st_size < 1.1 * learned + 200_000


def test_a_training_leaves_pictures_that_show_something(trained):
    paths = [trained.folder.path / event.path for event in events(trained.folder, Pictured)]
    assert len(paths) >= PICTURES
    for path in paths:
        image = imread(path)[..., :3]
        assert min(image.shape[:2]) > 100
        assert image.std() > 0.02


def test_panels_are_finite_and_show_different_things(trained):
    family, model = load_model(trained.folder.best)
    dataset = open_split(family, "test")
    pictures = [
        picture
        for index in range(2)
        for _, picture in sample_pictures(family, model, dataset, index, split="test", seed=0)
    ]
    for picture in pictures:
        low, high = picture.window
        assert low < high
        assert picture.title
        assert len(picture.panels) >= 2
        for panel in picture.panels:
            assert panel.title
            assert panel.image.ndim == 2
            assert np.isfinite(panel.image).all()
        first, *others = picture.panels
        assert first.image.std() > 0
        assert all(not np.array_equal(first.image, other.image) for other in others)


def test_a_training_keeps_what_the_gallery_lays_side_by_side(trained):
    """Of every case and view a target and a result of one size, in the target's window."""
    kept = [load_panels(path).picture for path in trained.folder.panels.iterdir()]
    assert len(kept) >= PICTURES
    for picture in kept:
        for view in {panel.view for panel in picture.panels}:
            of_view = [panel for panel in picture.panels if panel.view == view]
            (target,) = [panel for panel in of_view if panel.role == "target"]
            (result,) = [panel for panel in of_view if panel.role == "result"]
            assert {(p.rows, p.columns, p.window) for p in of_view} == {
                (target.rows, target.columns, target.window)
            }
            assert result.low < result.high


def test_validation_in_batches_of_one_gives_the_same_means(bench, trained):
    family, model = load_model(trained.folder.best)
    dataset = open_split(family, "validation")
    some = min(len(dataset), 5)

    def means(batch_size: int) -> dict[str, float]:
        trial = bench.trial
        loader = BatchLoader(dataset, seed=trial.plan.seed, workers=0, device=trial.group.device)
        sharing = trial.sharing.__class__(rank=0, ranks=1, batch_size=batch_size, accumulation=1)
        rounds = validation_rounds(some, sharing)
        return Validator(family, trial.group, loader, rounds, trial.plan.seed).metrics(model)

    assert means(1) == pytest.approx(means(3), rel=1e-4)
