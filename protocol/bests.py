"""The best weights so far, and those that they took the place of a short while ago.

Ranks train on until a decision to prune reaches them, and may find a better epoch meanwhile, which
is no part of the trial as decided. A `best.pth` that a better one replaces is therefore set aside
for a while, under its epoch, and comes back if the decision turns out to be older than the new one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from protocol.files import copy_verified, partial, sync_folder
from protocol.folders import RunFolder, TrialFolder
from protocol.messages import latest_plan
from protocol.script import matching

PATIENCE = 120.0  # seconds that a decision may take; the last one set aside stays for longer


def set_aside(folder: RunFolder, epoch: int) -> None:
    """Keep `best.pth`, which is that of `epoch`, under another name before it is replaced.

    Repeated after a kill, when a newer one may stand there already, it leaves what it has kept.
    """
    spare = folder.superseded(epoch)
    if not folder.best.exists() or spare.exists():
        return
    oldest = time.time() - PATIENCE
    for path in _all_superseded(folder):
        if path.stat().st_mtime < oldest:
            path.unlink()
    os.utime(folder.best)  # from now on it is superseded
    try:
        os.link(folder.best, spare)
    except OSError:  # a file system without links: for a moment there is no `best`
        folder.best.replace(spare)


def cut_best(folder: RunFolder, bests: Sequence[int], last: int) -> None:
    """Let `best.pth` be of no epoch after `last`: the right one's, or else missing.

    It can be repeated until `forget_superseded` follows.

    Args:
        bests: every epoch that was told to be the best so far, counted as in the file's own run.
        last: the epoch with which the trial ended, as decided.
    """
    spare = folder.superseded(max((epoch for epoch in bests if epoch <= last), default=0))
    if spare.exists():
        temporary = partial(folder.best)
        temporary.unlink(missing_ok=True)
        try:
            os.link(spare, temporary)
            temporary.replace(folder.best)
            temporary.unlink(missing_ok=True)  # which a name of the same file does not replace
        except OSError:
            copy_verified(spare, folder.best)
    elif any(epoch > last for epoch in bests):
        folder.best.unlink(missing_ok=True)
    sync_folder(folder.path)


def forget_superseded(folder: RunFolder) -> None:
    """Remove what was set aside: the trial has ended, and that is written down."""
    for path in _all_superseded(folder):
        path.unlink(missing_ok=True)


def _all_superseded(folder: RunFolder) -> list[Path]:
    return list(folder.path.glob(folder.superseded("*").name))


def best_checkpoint(trial: TrialFolder) -> Path | None:
    """A trial's best checkpoint, while it is there; of a script the latest of its own."""
    if trial.best.exists():
        return trial.best
    if not trial.output.exists():
        return None
    return next(reversed(checkpoints_of(trial)), None)


def checkpoints_of(trial: TrialFolder) -> list[Path]:
    """Every checkpoint in a trial's folder, those of its folds included; of a script its own."""
    plan = latest_plan(trial) if trial.output.exists() else None
    if plan is not None and plan.script is not None:
        return matching(trial.output, plan.script.checkpoints)
    return [
        Path(parent, name)
        for parent, _, names in os.walk(trial.path)
        for name in names
        if name.endswith(".pth")
    ]
