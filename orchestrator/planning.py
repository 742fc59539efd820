"""The plan of an attempt: what the settings ask of every attempt, and what this one adds."""

from __future__ import annotations

from typing import Any

from orchestrator.devices import Slot
from orchestrator.messages import Plan
from orchestrator.settings import Settings


def make_plan(settings: Settings, slot: Slot, **particulars: Any) -> Plan:
    """The plan of an attempt in `slot`.

    Args:
        particulars: the other fields of a plan, such as `trial`, `recipe` and `seed`; they win.
    """
    of_settings: dict[str, Any] = {
        "family": settings.family,
        "data": settings.data,
        "objective": settings.objective,
        "folds": settings.folds,
        "devices": list(slot.devices),
        "stages": settings.parallel.depth,
        "schedule": settings.parallel.schedule,
        "threads": slot.threads,
        "pictures": settings.pictures,
        "checkpoint_seconds": settings.limits.checkpoint_seconds,
        "checkpoint_epochs": settings.keep.every_epochs,
        "history_epochs": settings.keep.history_epochs,
        "hang_seconds": settings.limits.hang_seconds,
        "memory_gb": settings.limits.memory_gb,
    }
    return Plan(**(of_settings | particulars))
