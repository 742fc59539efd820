"""The callback in a real Trainer of Lightning: what it reports, and how it leaves."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import pytest
import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from tests.ranks import talk_together
from tests.unit.integrations.heard import Heard
from tomostudy_lightning import TomostudyCallback

BATCHES = 4

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec"),
    pytest.mark.filterwarnings("ignore:.*srun"),
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists"),
    pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before"),
]


class Line(LightningModule):
    """Fits a line; the validation's loss is NaN in `nan_epoch`."""

    def __init__(self, nan_epoch=None):
        super().__init__()
        self.layer, self.nan_epoch = torch.nn.Linear(1, 1), nan_epoch

    def training_step(self, batch, _):
        loss = (self.layer(batch[0]) - batch[0]).square().mean()
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch, _):
        loss = (self.layer(batch[0]) - batch[0]).square().mean()
        self.log("val_loss", loss * (torch.nan if self.current_epoch == self.nan_epoch else 1))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)


class StopAt(Callback):
    """Has the study say stop behind a batch; to stand before the callback that is told."""

    def __init__(self, path, epoch, batch=BATCHES - 1):
        self.path, self.at = path, (epoch, batch)

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) == self.at:
            self.path.touch()


class Stream(IterableDataset):
    """Whose length nobody knows."""

    def __iter__(self):
        return ((x,) for x in torch.linspace(0, 1, 2 * BATCHES)[:, None])


def data():
    return DataLoader(TensorDataset(torch.linspace(0, 1, 2 * BATCHES)[:, None]), batch_size=2)


def fit(folder, *callbacks, checkpoint=None, model=None, saves=100, train=None, **changes):
    """Where `saves` is not given, the checkpoint callback saves nothing by itself."""
    saver = ModelCheckpoint(folder / "saved", every_n_epochs=saves, save_last=saves == 1)
    trainer = Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        callbacks=[*callbacks, saver],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **{"max_epochs": 4, **changes},
    )
    trainer.fit(model or Line(), data() if train is None else train, data(), ckpt_path=checkpoint)
    return trainer


def test_every_validation_is_reported_but_the_sanity_check(study, tmp_path):
    trainer = fit(tmp_path, TomostudyCallback(), model=Line(nan_epoch=2), max_epochs=3)
    first, second, third = study.lines()
    assert study.epochs() == [1, 2, 3]
    assert first["metrics"].keys() == {"val_loss"}, "the training loss is known later"
    assert second["metrics"].keys() == {"val_loss", "train_loss"}
    assert first["metrics"]["val_loss"] > second["metrics"]["val_loss"] > 0
    assert third["metrics"]["val_loss"] == "NaN"
    trainer.validate(Line(), data(), verbose=False)
    assert study.epochs() == [1, 2, 3], "one that is not for training is nobody's epoch"


def test_what_is_reported_can_be_chosen_and_must_be_there(study, tmp_path):
    fit(tmp_path, TomostudyCallback(metrics=["val_loss"]), max_epochs=2)
    assert [line["metrics"].keys() for line in study.lines()] == [{"val_loss"}] * 2
    with pytest.raises(ValueError, match=r"val_psnr was not logged; logged are .*val_loss"):
        fit(tmp_path, TomostudyCallback(metrics=["val_psnr"]))


@pytest.mark.parametrize(
    "train", [data(), DataLoader(Stream(), batch_size=2)], ids=["set", "stream"]
)
def test_told_to_stop_at_an_epochs_end_it_leaves_behind_that_validation_and_has_saved(
    study, tmp_path, train
):
    trainer = fit(tmp_path, StopAt(study.stop, epoch=1), TomostudyCallback(), train=train)
    assert (study.epochs(), trainer.global_step) == ([1, 2], 2 * BATCHES)
    study.stop.unlink()
    last = tmp_path / "saved" / "last.ckpt"
    fit(tmp_path, TomostudyCallback(), checkpoint=last, train=train)
    assert study.epochs() == [1, 2, 3, 4], "it goes on where it left"


@pytest.mark.parametrize("epoch", [0, 1])
@pytest.mark.parametrize("saves", [1, 100])
def test_told_to_stop_in_an_epoch_a_process_alone_leaves_at_once_and_goes_on_in_its_middle(
    study, tmp_path, epoch, saves
):
    last = tmp_path / "saved" / "last.ckpt"
    with pytest.raises(SystemExit) as left:
        fit(tmp_path, StopAt(study.stop, epoch, batch=1), TomostudyCallback(), saves=saves)
    assert left.value.code == 0
    assert torch.load(last, weights_only=True)["global_step"] == epoch * BATCHES + 2
    assert not study.reports.exists() or study.epochs() == [1]
    study.stop.unlink()
    trainer = fit(tmp_path, TomostudyCallback(), checkpoint=last, saves=saves)
    assert (study.epochs(), trainer.global_step) == ([1, 2, 3, 4], 4 * BATCHES)


@pytest.mark.parametrize("batch", [1, 3])
def test_several_validations_in_an_epoch_are_told_apart_also_behind_a_resumption(
    study, tmp_path, batch
):
    half = {"val_check_interval": BATCHES // 2, "max_epochs": 2}
    fit(tmp_path, StopAt(study.stop, epoch=0, batch=batch), TomostudyCallback(), **half)
    assert study.epochs() == [1, 2][: batch // 2 + 1]
    study.stop.unlink()
    fit(tmp_path, TomostudyCallback(), checkpoint=tmp_path / "saved" / "last.ckpt", **half)
    assert study.epochs() == [1, 2, 3, 4]


def test_validations_every_few_epochs_have_the_numbers_of_those(study, tmp_path):
    fit(tmp_path, TomostudyCallback(), check_val_every_n_epoch=2)
    assert study.epochs() == [2, 4]


def test_without_a_checkpoint_callback_it_stops_all_the_same(study, tmp_path):
    study.stop.touch()
    trainer = Trainer(
        default_root_dir=tmp_path, accelerator="cpu", max_epochs=4, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        callbacks=[TomostudyCallback()],
    )  # fmt: skip
    with pytest.raises(SystemExit):
        trainer.fit(Line(), data(), data())
    assert trainer.global_step == 1
    assert not list(tmp_path.rglob("*.ckpt"))


def test_outside_a_study_nothing_happens(no_study):
    trainer = fit(no_study, TomostudyCallback(), max_epochs=2)
    assert trainer.global_step == 2 * BATCHES
    assert not list(no_study.rglob("*.json*"))
    assert not list(no_study.rglob("last.ckpt"))


def fit_together(rendezvous, rank, answers):
    """Four epochs, but the file that says stop comes in the second, behind rank 0's look."""
    heard = Heard.beside(rendezvous)
    os.environ |= heard.environment | {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": rendezvous.read_text(),
        "TORCHELASTIC_RUN_ID": "x",
    }  # fmt: skip
    warnings.simplefilter("ignore")
    ranks = {"devices": 2, "strategy": "ddp"}
    trainer = fit(rendezvous.parent, StopAt(heard.stop, 1, 0), TomostudyCallback(), **ranks)
    answers.put((rank, (trainer.current_epoch, trainer.global_step)))


@pytest.mark.long
def test_two_processes_leave_together(tmp_path, free_port):
    meeting = tmp_path / "port"
    meeting.write_text(str(free_port))
    left = talk_together(fit_together, meeting, ranks=2)
    assert left[0] == left[1]
    assert left[0][1] == BATCHES  # two epochs of half as many batches a rank
    assert Heard.beside(meeting).epochs() == [1, 2]
    assert (Path(tmp_path) / "saved" / "last.ckpt").exists()
