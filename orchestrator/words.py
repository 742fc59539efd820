"""Numbers, times and parameters as people read them."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Mapping
from typing import Any


def number(value: float | None) -> str:
    """`value` with five significant digits at most; a dash when there is none."""
    if value is None:
        return "-"
    if not math.isfinite(value):
        return str(value)
    return re.sub(r"e(-?)\+?0*", r"e\1", f"{value:.5g}")


def listed(values: Iterable[float]) -> str:
    """Numbers one after the other: `1.5, 2, 0.25`."""
    return ", ".join(number(value) for value in values)


def setting(value: Any) -> str:
    """A parameter's value, short."""
    return number(value) if isinstance(value, float) else str(value)


def settings(params: Mapping[str, Any]) -> str:
    """Parameters on one line: `learning_rate=0.0012 window=full`."""
    return " ".join(f"{name}={setting(value)}" for name, value in params.items())


def duration(seconds: float) -> str:
    """The two leading units of a time: `12 s`, `3 min 20 s`, `1 h 02 min`, `2 d 03 h`."""
    whole = max(0, round(seconds))
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours:02} h"
    if hours:
        return f"{hours} h {minutes:02} min"
    if minutes:
        return f"{minutes} min {rest:02} s"
    return f"{rest} s"


def without_passwords(text: str) -> str:
    """`text` with what stands between user and host in an address hidden."""
    return re.sub(r"(://[^:/@\s]*:)\S*@", r"\1***@", text)


def process(pid: int, host: str, start: float, job: str | None = None) -> str:
    """`process 12 on n1 (job 7) since 2026-01-31 08:15:00`; `start` is in seconds since 1970."""
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(start))
    return f"process {pid} on {host}{f' (job {job})' if job else ''} since {since}"


def stages(processes: int, count: int, mapped: bool = False) -> str:
    """How a trial's model is shared out: "2 × 3 stages", or "1 × 3 devices" of one process."""
    return f"1 × {count} devices" if mapped else f"{processes // count} × {count} stages"


def counted(count: int, noun: str) -> str:
    """`1 trial`, `2 trials`, `2 processes`."""
    many = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{count} {noun if count == 1 else many}"
