"""Two lines by which a training script reports to a study, and hears when it is to stop.

    from tomostudy_report import report

    for epoch in range(epochs):
        ...
        if report(epoch, val_psnr=psnr):
            break  # pruned, interrupted or out of time: save what is to be gone on from, and leave

Within a study of `family: script` this module is there by itself. For use elsewhere copy this one
file: it needs nothing but Python 3.8, and outside a study it writes nothing and never says stop.

The wire: each report is a line of JSON, appended to the file that the environment variable
TOMOSTUDY_REPORT names; once the file exists that TOMOSTUDY_STOP names, the script is to stop.
"""

import json
import math
import operator
import os
import sys
import time
from pathlib import Path
from typing import Any, Dict, Optional, SupportsFloat, SupportsIndex

__all__ = ["in_study", "report", "should_stop"]

_answered = {"epoch": -1, "stop": False}  # of several processes: what the first one said last


def report(epoch: SupportsIndex, **metrics: SupportsFloat) -> bool:
    """Report an epoch's metrics; whether to stop now.

    To be called by one process of several or, better, by all: the first (RANK 0) is the one whose
    metrics count, and all return its answer for this epoch, so that they leave together. Several
    calls for one epoch add up to one report, which is complete once the objective is in it.

    Args:
        epoch: a whole number, counted from 0 or from 1.
        metrics: Python's, NumPy's or torch's numbers by their names, also NaN and infinite ones, by
            which a trial is pruned. A name that is no word in Python: `**{"val/psnr": psnr}`.

    Raises:
        TypeError: something is no number.
        OSError: the report cannot be written.
    """
    try:
        number = operator.index(epoch)
    except TypeError:
        raise TypeError(f"report: epoch is {epoch!r}; expected a whole number") from None
    # By every process, also outside a study: a sharded tensor is gathered by all, and a mistake is
    # the same everywhere.
    numbers = {name: _number(name, value) for name, value in metrics.items()}
    if not in_study():
        return False
    if _rank() == 0:
        _append(os.environ["TOMOSTUDY_REPORT"], number, numbers)
    return _agreed(number)


def should_stop() -> bool:
    """Whether this process is told to stop: pruned, interrupted or out of time.

    Of several processes one may hear it a step before another: ask in one, and tell the others.
    """
    path = os.environ.get("TOMOSTUDY_STOP")
    return bool(path) and Path(str(path)).exists()


def in_study() -> bool:
    """Whether a study runs this process."""
    return bool(os.environ.get("TOMOSTUDY_REPORT"))


def _number(name: str, value: Any) -> float:
    # Text has no __float__, although float() reads it. torch warns of a loss with its gradients.
    plain = value.detach() if hasattr(value, "detach") else value
    if hasattr(plain, "__float__"):
        try:
            return float(plain)
        except (TypeError, ValueError, RuntimeError):  # of several numbers
            pass
    found = " ".join(repr(value).split())
    raise TypeError(f"report: {name} is {found[:60]}; expected one number")


def _append(path: str, epoch: int, metrics: Dict[str, float]) -> None:
    written = {name: _written(value) for name, value in metrics.items()}
    line = json.dumps({"epoch": epoch, "metrics": written, "time": time.time()}) + "\n"
    data = line.encode()
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        if os.write(file, data) != len(data):
            raise OSError(f"report: only a part of the line could be written to {path}")
        os.fsync(file)
    finally:
        os.close(file)


def _written(value: float) -> Any:
    """As JSON has it, which knows no NaN."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def _rank() -> int:
    distributed = _distributed()
    return distributed.get_rank() if distributed else int(os.environ.get("RANK") or 0)


def _agreed(epoch: int) -> bool:
    """What the first process says of this epoch.

    The others would look a moment later, when the file may have come: one would leave, and the
    others wait for it in their next all-reduce. They ask the store by which torch's processes met,
    not one another: that is no collective operation, so the first may also be the only one to call.
    """
    store = _store()
    if store is None:
        return should_stop()
    key = f"tomostudy_report/{epoch}"
    if _rank() != 0:
        return bool(store.get(key) == b"1")
    if _answered["epoch"] != epoch:  # one answer an epoch, however often it is reported
        _answered.update(epoch=epoch, stop=should_stop())
    store.set(key, "1" if _answered["stop"] else "0")
    return bool(_answered["stop"])


def _store() -> Optional[Any]:
    distributed = _distributed()
    if distributed is None or distributed.get_world_size() == 1:
        return None
    of_default_group = getattr(distributed.distributed_c10d, "_get_default_store", None)
    return of_default_group() if of_default_group else None


def _distributed() -> Optional[Any]:
    """torch.distributed, where the script uses it."""
    module = sys.modules.get("torch.distributed")
    there = module is not None and module.is_available() and module.is_initialized()
    return module if there else None
