"""One rank of one attempt: meets the others, trains, and tells how it ended."""

from __future__ import annotations

import contextlib
import logging
import sys
import traceback
from collections.abc import Callable

import torch

# Optimisers import it on their first use, which takes seconds: better once, before the fork.
import torch._dynamo

from models.registry import load_family
from protocol.errors import UserError
from protocol.folders import TrialFolder
from protocol.messages import Failed, Plan, append_event, load_plan
from worker.ranks.determinism import deterministic
from worker.ranks.divergence import Divergence
from worker.ranks.group import join, peer_loss
from worker.ranks.memory import limit_memory, loader_killed, out_of_memory
from worker.ranks.stopping import StopAgreed
from worker.ranks.trial import open_trial
from worker.training.cross_validation import train_folds
from worker.training.rehearsal import devices_of, rehearse
from worker.training.train import Training

log = logging.getLogger(__name__)


def run_rank(folder: TrialFolder, rank: int, tick: Callable[[], None]) -> int:
    """Follow the folder's plan as its rank `rank`.

    Args:
        tick: called at every sign of progress.

    Returns:
        0 for an ending that is told by another event; 1 after a Failed event.
    """
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s", force=True
    )
    plan = load_plan(folder.plan)
    with contextlib.ExitStack() as limits:
        try:
            with deterministic(plan.deterministic, plan.family):
                _train(folder, plan, rank, tick, limits)
        except Exception as error:
            limits.close()  # or there might be no memory to say that there is none
            traceback.print_exc()
            append_event(folder.events, _failure(plan, rank, error))
            return 1
    return 0


def _train(
    folder: TrialFolder,
    plan: Plan,
    rank: int,
    tick: Callable[[], None],
    limits: contextlib.ExitStack,
) -> None:
    torch.set_num_threads(plan.threads)
    group = join(
        # Under a device map the model is spread over devices that this process alone uses.
        devices=plan.devices[: plan.ranks],
        stages=1 if plan.mapped else plan.stages,
        rank=rank,
        rendezvous=folder.rendezvous(plan.attempt),
        # The leader's watch over every rank's ticks comes first: it knows who stands still.
        patience=2 * plan.hang_seconds,
    )
    tick()
    if plan.memory_gb is not None:
        load_family(plan.family)  # its libraries are the program's own memory
        limits.callback(limit_memory(plan.memory_gb, devices_of(plan, group)))
    try:
        if plan.rehearsal:
            rehearse(open_trial(folder, plan, group, tick))
        elif plan.folds > 1:
            train_folds(folder, plan, group, tick)
        else:
            Training(open_trial(folder, plan, group, tick)).run()
    except (Divergence, StopAgreed) as ending:
        log.info("%s: %s", type(ending).__name__, ending)
    group.leave()


def _failure(plan: Plan, rank: int, error: Exception) -> Failed:
    """The event of this rank's end, with its cause called by the name that counts."""
    kind = type(error).__name__
    cause = peer_loss(error)
    if cause is not None:
        kind = type(cause).__name__
    elif out_of_memory(error, limited=plan.memory_gb is not None):
        kind = torch.OutOfMemoryError.__name__
    elif loader_killed(error):
        kind = "LoaderKilled"
    mendable = isinstance(error, UserError) and kind == type(error).__name__
    return Failed(
        attempt=plan.attempt,
        rank=rank,
        error=kind,
        message=str(cause or error),
        traceback="" if mendable else "".join(traceback.format_exception(error)),
        user_error=mendable,
    )
