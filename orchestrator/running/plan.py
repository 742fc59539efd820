"""The plan of an attempt: what its settings, its slot and its point ask of the ranks."""

from __future__ import annotations

from typing import Any

from orchestrator.running.session import Session
from orchestrator.running.slots import Slot
from orchestrator.running.trial import RunningTrial
from orchestrator.settings.schema import Settings
from orchestrator.settings.script import script_plan
from orchestrator.study.inputs import data_fingerprint
from protocol.messages import Plan
from protocol.script import ScriptPlan


def next_plan(session: Session, running: RunningTrial, slot: Slot, seed: int) -> Plan:
    """The plan of a trial's next attempt, whose folder for a command's files is made.

    Args:
        session: whose trial it is.
        running: the trial.
        slot: that it gets.
        seed: of the trial.
    """
    assert running.recipe is not None, "a refused point is never launched"
    return make_plan(
        session.settings,
        slot,
        study=session.name,
        study_identity=session.known.identity,
        data_fingerprint=data_fingerprint(session.known.inputs),
        trial=running.number,
        attempt=running.number_of_attempt + 1,
        seed=seed,
        recipe=running.recipe,
        searched=sorted(running.trial.params),
        micro_batch=running.micro_batch,
        surroundings=session.surroundings,
        script=_planned_script(session.settings, session.name, running, seed),
    )


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
        "deterministic": settings.deterministic,
        "nodes": settings.launcher.nodes if settings.launcher.kind == "slurm" else None,
        "interface": settings.launcher.interface,
    }
    return Plan(**(of_settings | particulars))


def _planned_script(
    settings: Settings, study: str, running: RunningTrial, seed: int
) -> ScriptPlan | None:
    """The command of a trial's next attempt, whose folder is made; None where it is none.

    Args:
        settings: of the study.
        study: its name.
        running: the trial.
        seed: of the trial.
    """
    if settings.script is None or running.recipe is None:
        return None
    output = running.folder.output.absolute()
    output.mkdir(parents=True, exist_ok=True)
    places = {
        "folder": output,
        "trial": running.number,
        "seed": seed,
        "study": study,
        "ranks": settings.parallel.ranks,
    }
    return script_plan(settings.script, running.recipe, places)
