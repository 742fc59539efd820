"""The callback in a real Trainer of Hugging Face: what it reports, and how it leaves."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import Trainer, TrainerCallback, TrainingArguments

from tomostudy_transformers import TomostudyCallback

STEPS = 4  # an epoch


class Line(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def forward(self, x, labels):
        answer = self.layer(x)
        return {"loss": (answer - labels).square().mean(), "answer": answer}


class StopAt(TrainerCallback):
    """Has the study say stop behind a step; to stand before the callback that is told."""

    def __init__(self, path, step):
        self.path, self.step = path, step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            self.path.touch()


def train(folder, *callbacks, go_on=False, **changes):
    data = [{"x": torch.tensor([x / 8]), "labels": torch.tensor([x / 8])} for x in range(2 * STEPS)]
    trainer = Trainer(
        Line(),
        TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=2,
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
            logging_strategy="no",
            **{
                "num_train_epochs": 3,
                "eval_strategy": "epoch",
                "save_strategy": "no",
                **changes,
            },
        ),
        train_dataset=data,
        eval_dataset=data,
        compute_metrics=lambda guess: {"psnr": 10.0, "step_runtime": 3.0, "note": "a word"},
        callbacks=list(callbacks),
    )
    trainer.train(resume_from_checkpoint=go_on)
    return trainer


def saved(folder):
    return sorted(path.name for path in Path(folder).glob("checkpoint-*"))


def test_every_evaluation_is_reported_under_its_own_names(study, tmp_path):
    trainer = train(tmp_path, TomostudyCallback(), eval_on_start=True)
    assert study.epochs() == [1, 2, 3], "the one before the first step is nobody's epoch"
    first = study.lines()[0]["metrics"]
    names = {"eval_loss", "eval_psnr", "eval_step_runtime"}
    assert first.keys() == names, "no word, and not how fast the Trainer was"
    assert [line["metrics"]["eval_loss"] for line in study.lines()] == [
        entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry
    ][1:]
    assert not saved(tmp_path)


def test_what_is_reported_can_be_chosen_and_must_be_there(study, tmp_path):
    train(tmp_path, TomostudyCallback(metrics=["eval_psnr"]), num_train_epochs=1)
    assert study.lines()[0]["metrics"] == {"eval_psnr": 10.0}
    train(tmp_path, TomostudyCallback(metrics=["eval_runtime"]), num_train_epochs=1)
    assert study.lines()[-1]["metrics"].keys() == {"eval_runtime"}
    with pytest.raises(ValueError, match=r"eval_dice is not among .* are eval_loss, "):
        train(tmp_path, TomostudyCallback(metrics=["eval_dice"]))


def test_told_to_stop_at_an_epochs_end_it_reports_saves_and_goes_on_later(study, tmp_path):
    trainer = train(tmp_path, StopAt(study.stop, 2 * STEPS), TomostudyCallback())
    assert (study.epochs(), trainer.state.global_step) == ([1, 2], 2 * STEPS)
    assert saved(tmp_path) == ["checkpoint-8"]
    study.stop.unlink()
    train(tmp_path, TomostudyCallback(), go_on=True)
    assert study.epochs() == [1, 2, 3]


def test_told_to_stop_in_an_epoch_a_process_alone_leaves_at_once_and_reports_no_half_epoch(
    study, tmp_path
):
    trainer = train(tmp_path, StopAt(study.stop, STEPS + 1), TomostudyCallback())
    assert (study.epochs(), trainer.state.global_step) == ([1], STEPS + 1)
    assert saved(tmp_path) == ["checkpoint-5"]
    assert len([e for e in trainer.state.log_history if "eval_loss" in e]) == 1
    trainer.evaluate()  # as many scripts do at their end
    assert study.epochs() == [1]
    study.stop.unlink()
    trainer = train(tmp_path, TomostudyCallback(), go_on=True)
    assert (study.epochs(), trainer.state.global_step) == ([1, 2, 3], 3 * STEPS)


def test_several_evaluations_in_an_epoch_are_told_apart_also_behind_a_resumption(study, tmp_path):
    half = {"eval_strategy": "steps", "eval_steps": STEPS // 2, "num_train_epochs": 2}
    train(tmp_path, StopAt(study.stop, STEPS), TomostudyCallback(), **half)
    assert study.epochs() == [1, 2]
    study.stop.unlink()
    train(tmp_path, TomostudyCallback(), go_on=True, **half)
    assert study.epochs() == [1, 2, 3, 4]


def test_evaluations_every_few_epochs_have_the_numbers_of_those(study, tmp_path):
    every_second = {"eval_strategy": "steps", "eval_steps": 2 * STEPS, "num_train_epochs": 4}
    train(tmp_path, TomostudyCallback(), **every_second)
    assert study.epochs() == [2, 4]


def test_outside_a_study_nothing_happens(no_study):
    trainer = train(no_study / "out", TomostudyCallback(), num_train_epochs=2)
    assert trainer.state.global_step == 2 * STEPS
    assert [path for path in no_study.rglob("*") if path.is_file()] == []
