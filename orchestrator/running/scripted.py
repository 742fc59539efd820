"""Trials that are a command of the user's: what each attempt at one runs."""

from __future__ import annotations

from orchestrator.running.session import Session
from orchestrator.running.trial import RunningTrial
from orchestrator.settings.script import script_plan
from protocol.script import ScriptPlan


def planned_script(session: Session, running: RunningTrial, seed: int) -> ScriptPlan | None:
    """The command of a trial's next attempt, whose folder is made; None where there is none."""
    script = session.settings.script
    if script is None:
        return None
    assert running.recipe is not None
    output = running.folder.output.absolute()
    output.mkdir(parents=True, exist_ok=True)
    places = {
        "folder": output,
        "trial": running.number,
        "seed": seed,
        "study": session.name,
        "ranks": session.settings.parallel.ranks,
    }
    return script_plan(script, running.recipe, places)
