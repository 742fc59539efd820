"""python run.py model.lr=0.02 model/size=large"""

import math
import time
from pathlib import Path

import hydra
import torch
from hydra.core.hydra_config import HydraConfig
from torch import nn

try:
    from tomostudy_report import report
except ImportError:  # by itself

    def report(epoch, **metrics):
        return False


GPU_GIB = 2.0  # of the card that this is meant for


def make_data(data):
    """Noisy and clean sines, the last quarter for validation."""
    generator = torch.Generator().manual_seed(data.seed)
    phase = torch.rand(data.samples, 1, generator=generator) * 2 * math.pi
    clean = torch.sin(torch.linspace(0, 2 * math.pi, data.length) + phase)
    noisy = clean + 0.3 * torch.randn(clean.shape, generator=generator)
    cut = data.samples * 3 // 4
    return (noisy[:cut], clean[:cut]), (noisy[cut:], clean[cut:])


def check_memory(width):
    """There is no card in a test; what torch says where one is too small."""
    needed = 4 * width**2 * 8 / 2**30
    if needed > GPU_GIB:
        raise torch.OutOfMemoryError(
            f"CUDA out of memory. Tried to allocate {needed:.2f} GiB. GPU 0 has a total capacity "
            f"of {GPU_GIB:.2f} GiB of which 1.50 GiB is free."
        )


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    out = Path(HydraConfig.get().runtime.output_dir)
    torch.manual_seed(cfg.seed)
    (inputs, targets), (val_inputs, val_targets) = make_data(cfg.data)
    check_memory(cfg.model.width)
    model = nn.Sequential(
        nn.Linear(cfg.data.length, cfg.model.width),
        nn.ReLU(),
        nn.Linear(cfg.model.width, cfg.data.length),
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=cfg.model.lr, momentum=0.9)
    start = 1
    if cfg.resume:
        checkpoint = torch.load(cfg.resume, weights_only=True)
        model.load_state_dict(checkpoint["model"])
        optimizer.load_state_dict(checkpoint["optimizer"])
        start = checkpoint["epoch"] + 1
        print(f"resumed from {cfg.resume} at epoch {start}")

    for epoch in range(start, cfg.epochs + 1):
        order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(epoch))
        for batch in order.split(cfg.data.batch_size):
            loss = nn.functional.mse_loss(model(inputs[batch]), targets[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            error = nn.functional.mse_loss(model(val_inputs), val_targets)
        psnr = 10 * torch.log10(4 / error)
        print(f"epoch {epoch}: loss {loss.item():.4f}, PSNR {psnr.item():.2f} dB")
        stop = report(epoch, val_psnr=psnr, train_loss=loss)
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}
        torch.save(state, out / "last.tmp")
        (out / "last.tmp").replace(out / "last.ckpt")
        if stop:
            print("told to stop")
            break
        time.sleep(cfg.pause)


if __name__ == "__main__":
    main()
