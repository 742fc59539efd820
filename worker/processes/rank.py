"""One rank of one attempt: meets the others, trains, and tells how it ended."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
import traceback
from collections.abc import Callable

import torch

# Optimisers import it on their first use, which takes seconds: better once, before the fork.
import torch._dynamo

from models.registry import load_family
from protocol.errors import is_full
from protocol.folders import TrialFolder
from protocol.messages import NO_ROOM, Failed, Launched, Plan, append_event, load_plan
from worker.machine.memory import limit_memory
from worker.machine.threads import give_way
from worker.ranks.determinism import deterministic
from worker.ranks.divergence import Divergence
from worker.ranks.faults import failure
from worker.ranks.group import join
from worker.ranks.stopping import StopAgreed
from worker.ranks.trial import open_trial
from worker.training.cross_validation import train_folds
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
        0 for an ending that is told by another event; 1 after a Failed event; NO_ROOM where the
        disk is too full for one.
    """
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s", force=True
    )
    plan = load_plan(folder.plan)
    with contextlib.ExitStack() as limits:
        try:
            if rank == 0 and not plan.rehearsal:
                append_event(
                    folder.events, Launched(attempt=plan.attempt, devices=plan.device_count)
                )
            with deterministic(plan.deterministic, plan.family):
                _train(folder, plan, rank, tick, limits)
        except KeyboardInterrupt:
            raise  # a signal from outside, of which no event tells
        except BaseException as error:  # a family that leaves has failed as well
            # torch raises once more where processes that load data end, wherever this one is.
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            limits.close()  # or there might be no memory to say that there is none
            code = _tell(folder, failure(plan, rank, error))
            with contextlib.suppress(OSError):  # the disk that the log is on may be full
                traceback.print_exc()
            return code
    return 0


def _tell(folder: TrialFolder, failed: Failed) -> int:
    """Append the event; the exit code, which speaks where there is no room for the event."""
    try:
        append_event(folder.events, failed)
    except OSError as error:
        if not is_full(error):
            raise
        return NO_ROOM
    return 1


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
        nodes=plan.nodes,
        interface=plan.interface,
    )
    tick()
    give_way(always=plan.memory_gb is not None)
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
