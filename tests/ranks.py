"""Runs the ranks of an attempt as real processes, forked from a server that has torch loaded."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from protocol.folders import TrialFolder
from protocol.messages import Event, Plan, read_events, save_message
from protocol.objective import Objective

TOY = "tests/families/toy.py:Toy"
PATIENCE = 60.0  # seconds for any one attempt


def make_plan(folder: Path, *, ranks: int = 1, attempt: int = 0, **changes: Any) -> TrialFolder:
    """A trial's folder with a plan in it; `recipe` and `data` add to the toy's defaults."""
    trial = TrialFolder(folder / "trial_0")
    trial.path.mkdir(parents=True, exist_ok=True)
    recipe = {"epochs": 2, "batch_size": 4, "learning_rate": 0.01} | changes.pop("recipe", {})
    given = {
        "study": "test",
        "trial": 0,
        "seed": 3,
        "family": TOY,
        "data": {},
        "objective": Objective(metric="error", direction="minimize"),
        "devices": ["cpu"] * ranks,
        "threads": 1,
        "pictures": 0,
        "hang_seconds": 30.0,
    }
    save_message(trial.plan, Plan(**(given | changes), recipe=recipe, attempt=attempt))
    return trial


def attempt(trial: TrialFolder, *, ranks: int = 1) -> list[int | None]:
    """Run the plan's ranks to their ends; their exit codes."""
    with started(trial, ranks=ranks) as processes:
        deadline = time.monotonic() + PATIENCE
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))
        return [process.exitcode for process in processes]


@contextmanager
def started(trial: TrialFolder, *, ranks: int = 1):
    """The plan's ranks as running processes, killed at the end if need be."""
    context = fork_server()
    # Not daemons, which may not start loader processes.
    processes = [context.Process(target=_rank, args=(trial, rank)) for rank in range(ranks)]
    for process in processes:
        process.start()
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.join()


def talk_together(
    function, rendezvous: Path, *, ranks: int, patience: float = PATIENCE
) -> dict[int, Any]:
    """The answers by rank that `function(rendezvous, rank, queue)` puts as (rank, answer)."""
    context = fork_server()
    queue = context.Queue()
    answers_to = _Answers(queue)
    processes = [
        context.Process(target=function, args=(rendezvous, rank, answers_to))
        for rank in range(ranks)
    ]
    for process in processes:
        process.start()
    try:
        answers = dict(pickle.loads(queue.get(timeout=patience)) for _ in processes)
        for process in processes:
            process.join(patience)
    finally:
        for process in processes:
            process.kill()
    return answers


def in_a_process(function: Callable[[], Any]) -> Any:
    """What `function` answers, or raises, in a process of its own with torch loaded."""
    context = fork_server()
    queue = context.SimpleQueue()
    process = context.Process(target=_answer, args=(function, queue))
    process.start()
    answer = queue.get()
    process.join(30)
    assert process.exitcode == 0
    if isinstance(answer, BaseException):
        raise answer
    return answer


class _Answers:
    """A queue that copies tensors: by itself it would have them fetched from their process.

    That has often ended before anybody comes to fetch them.
    """

    def __init__(self, queue) -> None:
        self._queue = queue

    def put(self, answer: tuple[int, Any]) -> None:
        self._queue.put(pickle.dumps(answer))


def fork_server():
    """Processes forked from a server that has the training half imported."""
    context = multiprocessing.get_context("forkserver")
    # "__main__" too, or every rank would import pytest anew.
    # The last one, because torch's pipelining takes seconds to import as well.
    context.set_forkserver_preload(
        [
            "__main__",
            "worker.processes.rank",
            "tests.ranks",
            "worker.pipeline.guard",
        ]
    )
    return context


def wait_for(condition, seconds: float = PATIENCE) -> None:
    """Poll until `condition()` holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def events(trial: TrialFolder, kind: type[Event]) -> list[Any]:
    return [event for event in read_events(trial.events) if isinstance(event, kind)]


def _answer(function: Callable[[], Any], queue: Any) -> None:
    try:
        queue.put(function())
    except BaseException as error:
        queue.put(error)


def _rank(trial: TrialFolder, rank: int) -> None:
    log = os.open(trial.rank_log(rank), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    from worker.processes.rank import run_rank

    ticks = trial.path / f"ticks{rank}"
    with ticks.open("a") as stream:
        sys.exit(run_rank(trial, rank, lambda: print(".", end="", file=stream)))
