"""Scalars are read from the event files that torch's own writer makes."""

import pytest

pytest.importorskip("tensorboard")

from torch.utils.tensorboard import SummaryWriter

from worker.scripts.sources import Row
from worker.scripts.tensorboard_source import TensorBoard


def test_the_steps_of_the_objective_are_the_epochs_and_the_rest_belongs_to_the_next(tmp_path):
    source = TensorBoard(tmp_path, "val/psnr")
    assert list(source.rows()) == []
    with SummaryWriter(tmp_path / "version_0") as writer:
        writer.add_text("note", "hello", 0)
        for step in (50, 100):
            writer.add_scalar("loss", 1 / step, step)
        writer.add_scalar("val/psnr", 30.0, 100)
        writer.add_scalar("val/mse", 0.5, 100)
        writer.add_scalar("loss", 1 / 150, 150)
    rows = list(source.rows())
    assert [(row.epoch, *row.metrics) for row in rows] == [
        (1, "loss"),
        (1, "loss"),
        (1, "val/mse"),
        (1, "val/psnr"),
        (2, "loss"),
    ]
    assert Row(1, {"val/psnr": 30.0}) in rows


def test_a_second_start_goes_on_counting_and_repeats_no_step(tmp_path):
    source = TensorBoard(tmp_path, "psnr")
    for start, steps in enumerate(((10, 20), (20, 30))):
        with SummaryWriter(tmp_path / f"version_{start}") as writer:
            for step in steps:
                writer.add_scalar("psnr", step, step)
    assert [row.epoch for row in source.rows()] == [1, 2, 2, 3]
    assert list(source.rows()) == []
