"""What is said of an export that nobody trained."""

from __future__ import annotations

from typing import Any

from orchestrator.exporting.card import Exported
from protocol.messages import Plan
from protocol.objective import Objective


def exported(program: dict[str, Any]) -> Exported:
    """Of a program as the call `export` tells of it."""
    plan = Plan(
        study="made",
        trial=3,
        attempt=0,
        seed=0,
        family="ddpm2d",
        recipe={"epochs": 1},
        data={"root": "data"},
        objective=Objective(metric="psnr", direction="maximize"),
        searched=[],
        devices=["cpu"],
        threads=1,
    )
    return Exported(plan=plan, result={}, program=program)
