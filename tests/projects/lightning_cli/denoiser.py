"""Denoises short signals: model and data, as Lightning has them."""

import math
import time

import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

LENGTH = 16
GPU_GIB = 2.0  # of the card that this is meant for


class Denoiser(pl.LightningModule):
    """A perceptron.

    Args:
        lr: 3 diverges in the second epoch.
        width: of the hidden layer; 10000 is too much for the card.
        pause: seconds after each epoch.
    """

    def __init__(self, lr: float = 0.05, width: int = 32, pause: float = 0.0) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Linear(LENGTH, width), nn.ReLU(), nn.Linear(width, LENGTH))

    def on_fit_start(self):
        """There is no card in a test; what torch says where one is too small."""
        needed = 4 * self.hparams.width**2 * 8 / 2**30
        if needed > GPU_GIB:
            raise torch.OutOfMemoryError(
                f"CUDA out of memory. Tried to allocate {needed:.2f} GiB. GPU 0 has a total "
                f"capacity of {GPU_GIB:.2f} GiB of which 1.50 GiB is free."
            )

    def training_step(self, batch, _):
        noisy, clean = batch
        loss = nn.functional.mse_loss(self.net(noisy), clean)
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch, _):
        noisy, clean = batch
        error = nn.functional.mse_loss(self.net(noisy), clean)
        self.log("val_psnr", 10 * torch.log10(4 / error), sync_dist=True)

    def on_train_epoch_end(self):
        time.sleep(self.hparams.pause)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.hparams.lr, momentum=0.9)


class Sines(pl.LightningDataModule):
    """Noisy and clean sines, the last quarter for validation."""

    def __init__(self, samples: int = 64, batch_size: int = 8, seed: int = 0) -> None:
        super().__init__()
        self.save_hyperparameters()

    def setup(self, stage):
        generator = torch.Generator().manual_seed(self.hparams.seed)
        phase = torch.rand(self.hparams.samples, 1, generator=generator) * 2 * math.pi
        clean = torch.sin(torch.linspace(0, 2 * math.pi, LENGTH) + phase)
        noisy = clean + 0.3 * torch.randn(clean.shape, generator=generator)
        cut = self.hparams.samples * 3 // 4
        self.train = TensorDataset(noisy[:cut], clean[:cut])
        self.validation = TensorDataset(noisy[cut:], clean[cut:])

    def train_dataloader(self):
        return DataLoader(self.train, self.hparams.batch_size, shuffle=True)

    def val_dataloader(self):
        return DataLoader(self.validation, batch_size=16)
