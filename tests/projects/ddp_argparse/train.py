"""Denoises short signals: plain PyTorch, DDP where there are several processes.

python train.py --out results
torchrun --nproc_per_node 2 train.py --out results
"""

import argparse
import csv
import math
import os
import time
from pathlib import Path

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

SAMPLES, LENGTH = 64, 16
GPU_GIB = 2.0  # of the card that this is meant for


def parse_args():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=0.05, help="3 diverges in the second epoch")
    parser.add_argument("--width", type=int, default=32, help="10000 is too much for the card")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pause", type=float, default=0.0, help="seconds after each epoch")
    parser.add_argument("--out", type=Path, default=Path("results"))
    parser.add_argument("--resume", type=Path)
    return parser.parse_args()


def make_data(seed):
    """Noisy and clean sines, the last quarter for validation."""
    generator = torch.Generator().manual_seed(seed)
    phase = torch.rand(SAMPLES, 1, generator=generator) * 2 * math.pi
    clean = torch.sin(torch.linspace(0, 2 * math.pi, LENGTH) + phase)
    noisy = clean + 0.3 * torch.randn(clean.shape, generator=generator)
    cut = SAMPLES * 3 // 4
    return (noisy[:cut], clean[:cut]), (noisy[cut:], clean[cut:])


def check_memory(width):
    """There is no card in a test; what torch says where one is too small."""
    needed = 4 * width**2 * 8 / 2**30
    if needed > GPU_GIB:
        raise torch.OutOfMemoryError(
            f"CUDA out of memory. Tried to allocate {needed:.2f} GiB. GPU 0 has a total capacity "
            f"of {GPU_GIB:.2f} GiB of which 1.50 GiB is free."
        )


def save(state, path):
    """As a whole, whenever this process is killed."""
    torch.save(state, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").replace(path)


def main():
    args = parse_args()
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if world > 1:
        distributed.init_process_group("gloo")
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)

    (inputs, targets), (val_inputs, val_targets) = make_data(args.seed)
    model = nn.Sequential(nn.Linear(LENGTH, args.width), nn.ReLU(), nn.Linear(args.width, LENGTH))
    check_memory(args.width)
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9)
    start = 0
    if args.resume:
        checkpoint = torch.load(args.resume, weights_only=True)
        model.load_state_dict(checkpoint["model"])
        optimizer.load_state_dict(checkpoint["optimizer"])
        start = checkpoint["epoch"] + 1
        print(f"resumed from {args.resume} at epoch {start}")
    trained = DistributedDataParallel(model) if world > 1 else model

    table = args.out / "metrics.csv"
    if rank == 0 and not (args.resume and table.exists()):
        table.write_text("epoch,train_loss,val_psnr\n")
    for epoch in range(start, args.epochs):
        order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(epoch))
        losses = []
        for batch in order[rank::world].split(args.batch_size):
            loss = nn.functional.mse_loss(trained(inputs[batch]), targets[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        with torch.no_grad():
            error = nn.functional.mse_loss(model(val_inputs), val_targets)
        train_loss, psnr = sum(losses) / len(losses), 10 * torch.log10(4 / error).item()
        if rank == 0:
            print(f"epoch {epoch}: loss {train_loss:.4f}, PSNR {psnr:.2f} dB")
            with table.open("a", newline="") as file:
                csv.writer(file).writerow([epoch, train_loss, psnr])
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            save({**state, "epoch": epoch}, args.out / "last.ckpt")
        time.sleep(args.pause)
    if world > 1:
        distributed.destroy_process_group()


if __name__ == "__main__":
    main()
