"""What runs inside a disturbed study's processes: between two lines of theirs they look for orders.

A point has a name and two sides, before and after a call or a rename. Nothing in the program knows
of it: modules are given their points as they are imported.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.abc
import importlib.machinery
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.faults.orders import FOLDER, Order, Orders

# Where the name of a point follows from the file that is written.
_FILES = {
    "plan.json": "plan",
    "plans.jsonl": "plans",
    "outcome.json": "outcome",
    "events.jsonl": "event",
    "decisions.jsonl": "decision",
    "journal.jsonl": "journal",
    "study.yml": "study.yml",
    "stop": "stop",
    "attempt.json": "attempt",
    "best.pth": "best",
    "last.pth": "checkpoint",
    "previous.pth": "previous",
}
# The others: what is called, where it is defined, and the point's name.
_CALLS = {
    ("optuna.study.study", "Study.ask"): "half an ask",
    ("orchestrator.proposing.ask", "Asker.ask"): "ask",
    ("optuna.trial._trial", "Trial.set_user_attr"): "attribute",
    ("orchestrator.launcher.local", "LocalLauncher.launch"): "launch",
    ("orchestrator.launcher.local", "LocalLauncher.call"): "call",
    ("orchestrator.running.trial", "RunningTrial.report"): "report",
    ("orchestrator.reporting.notes", "upload_pictures"): "artifact",
    ("orchestrator.reporting.notes", "_declare"): "artifact",
    ("orchestrator.reporting.notes", "write_note"): "note",
    ("optuna.study.study", "Study.tell"): "tell",
    ("orchestrator.study.ranking", "point_to_best"): "best link",
    ("orchestrator.study.storage", "open_study"): "database",
    ("protocol.bests", "set_aside"): "set aside",
    ("protocol.bests", "cut_best"): "cut best",
    ("protocol.bests", "forget_superseded"): "forget",
    ("worker.processes.leader", "_fork_rank"): "fork",
    ("worker.ranks.group", "join"): "init",
    ("worker.training.step", "accumulate"): "forward",
    ("worker.training.keeping", "Keeper.keep_last"): "save",
    ("worker.training.train", "Training.metrics"): "validation",
    ("worker.ranks.group", "Group.any"): "barrier",
    ("worker.ranks.group", "Group.gather"): "barrier",
    ("worker.ranks.loading", "SeededDataset.__getitem__"): "sample",
    ("orchestrator.tracking.mirror", "Mirror.look"): "track",
}
_BALLAST_PIECE = 1 << 20  # bytes
_orders: Orders
_passed: Counter[Order] = Counter()


def install() -> None:
    """Prepare this process, if it is one of a study that is to be disturbed."""
    global _orders
    folder = os.environ.get(FOLDER)
    if folder is None:
        return
    _orders = Orders(Path(folder))
    Path.replace = _at_file(Path.replace, lambda source, target: target)  # type: ignore[method-assign]
    sys.meta_path.insert(0, _Finder())
    if sys.orig_argv[1:] and "orchestrator" in sys.orig_argv:
        real = time.time
        time.time = lambda: real() + _orders.clock


class _Finder(importlib.abc.MetaPathFinder):
    """Finds what Python finds, and gives it its points behind its last line."""

    _modules = frozenset(
        {module for module, _ in _CALLS} | {"protocol.files", "torch._tensor", "psutil"}
    )

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name not in self._modules:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_change(module: Any) -> None:
                execute(module)
                _change(module)

            spec.loader.exec_module = execute_and_change  # type: ignore[method-assign]
        return spec


def _change(module: Any) -> None:
    for (name, attribute), point in _CALLS.items():
        if name == module.__name__:
            owner, _, last = attribute.rpartition(".")
            holder = getattr(module, owner) if owner else module
            setattr(holder, last, _at(getattr(holder, last), point))
    match module.__name__:
        case "protocol.files":
            module.append_line = _at_file(module.append_line, lambda path, *_: path)
        case "torch._tensor":
            module.Tensor.backward = _in_backward(module.Tensor.backward)
        case "psutil" if "orchestrator" in sys.orig_argv:
            # A process's start, which Linux gives as the time since it booted, moves with it.
            booted = module.boot_time()
            module._psplatform.boot_time = lambda: booted + _orders.clock


def _at(call: Callable[..., Any], point: str) -> Callable[..., Any]:
    @functools.wraps(call)
    def disturbed(*arguments: Any, **options: Any) -> Any:
        reach(point, "before")
        result = call(*arguments, **options)
        reach(point, "after")
        return result

    return disturbed


def _at_file(call: Callable[..., Any], written: Callable[..., Path]) -> Callable[..., Any]:
    @functools.wraps(call)
    def disturbed(*arguments: Any, **options: Any) -> Any:
        point = _FILES.get(Path(written(*arguments)).name)
        return (call if point is None else _at(call, point))(*arguments, **options)

    return disturbed


def _in_backward(call: Callable[..., Any]) -> Callable[..., Any]:
    """Gradients flow already when the point is reached."""

    @functools.wraps(call)
    def disturbed(loss: Any, *arguments: Any, **options: Any) -> Any:
        if loss.requires_grad:
            loss.register_hook(lambda _: reach("backward", "before"))
        return call(loss, *arguments, **options)

    return disturbed


def reach(point: str, side: str) -> None:
    """This process has come to a point; carry the order out, if that is where it holds."""
    order = _orders.pending()
    if order is None or (order.point, order.side) != (point, side):
        return
    if order.rank is not None and rank_of("self") != order.rank:
        return
    _passed[order] += 1
    if _passed[order] > order.passes and _orders.claim():
        _carry_out(order)


def rank_of(pid: int | str) -> int | None:
    """The rank whose log a process prints to: it or its loader; None of the others."""
    try:
        name = Path(f"/proc/{pid}/fd/1").readlink().name
    except OSError:
        return None
    number = name.removeprefix("rank").removesuffix(".log")
    return int(number) if number.isdecimal() else None


def _carry_out(order: Order) -> None:
    match order.action.split():
        case ["fill"]:
            fill(_orders.ballast)
        case ["leave", code]:
            os._exit(int(code))
        case [name]:
            os.kill(os.getpid(), signal.Signals[name])


def fill(ballast: Path) -> None:
    """Write until there is no room."""
    with contextlib.suppress(OSError), ballast.open("ab", buffering=0) as stream:
        while True:
            stream.write(bytes(_BALLAST_PIECE))
