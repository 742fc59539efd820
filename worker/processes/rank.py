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
from protocol.folders import TrialFolder
from protocol.messages import Failed, Fault, Plan, append_event, load_plan
from worker.ranks.determinism import deterministic
from worker.ranks.divergence import Divergence
from worker.ranks.faults import MESSAGE, TRACEBACK, bounded, fault_of
from worker.ranks.group import join, peer_loss
from worker.ranks.memory import limit_memory
from worker.ranks.stopping import StopAgreed
from worker.ranks.trial import open_trial
from worker.training.cross_validation import train_folds
from worker.training.history import draw_histories
from worker.training.rehearsal import devices_of, rehearse
from worker.training.train import Training

log = logging.getLogger(__name__)

# Times the time-out of a hung rank. The leader's watch comes long before: it knows who stands
# still, and whether all were suspended together, which the clocks in here do not.
PEER_PATIENCE = 24


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
        except (Exception, SystemExit) as error:  # a family that leaves has failed as well
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
        patience=PEER_PATIENCE * plan.hang_seconds,
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
    if rank == 0 and not plan.rehearsal:
        draw_histories(folder, plan)


def _failure(plan: Plan, rank: int, error: Exception | SystemExit) -> Failed:
    """The event of this rank's end."""
    fault = fault_of(error, plan)
    lost = peer_loss(error) if fault is Fault.PEER else None
    mendable = fault in (Fault.USER, Fault.RECIPE, Fault.DISK)
    trace = "" if mendable else "".join(traceback.format_exception(error))
    return Failed(
        attempt=plan.attempt,
        rank=rank,
        error=type(lost or error).__name__,
        message=bounded(str(lost or error), MESSAGE),
        traceback=bounded(trace, TRACEBACK),
        user_error=fault is Fault.USER,
        fault=fault,
    )
