"""What the dashboard's notes say, as Markdown."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from orchestrator import words
from orchestrator.ledger.trial import trial_account
from orchestrator.reporting.ledger_text import account_sentence
from orchestrator.settings.schema import Settings
from orchestrator.study.peek import peek
from protocol.bests import checkpoints_of
from protocol.folders import StudyFolder, TrialFolder
from protocol.messages import Ending, Outcome, Plan

_TITLES = {
    Ending.COMPLETED: "Complete",
    Ending.PRUNED: "Pruned",
    Ending.INTERRUPTED: "Interrupted",
    Ending.NONFINITE: "Pruned: NaN or infinity",
    Ending.MEMORY: "Pruned: out of memory",
    Ending.INVALID: "Pruned: not a valid point",
    Ending.OVERDUE: "Pruned: over its time",
    Ending.MOVED: "Moved to another job",
    Ending.CANCELLED: "Pruned: somebody ended it",
    Ending.FAILED: "Failed",
    Ending.LOST: "Failed: a process was lost",
    Ending.HUNG: "Failed: no progress",
}
_LONGEST_TRACEBACK = 6000  # characters; a note is read with every look at the dashboard


def title_of(ending: str) -> str:
    """An ending for people; empty for one that is not known."""
    return next((title for known, title in _TITLES.items() if known == ending), "")


def trial_note(folder: TrialFolder, plan: Plan | None, outcome: Outcome) -> str:
    """Why the trial ended, what it reached, and where its files are."""
    parts = [f"## {_TITLES[outcome.ending]}", plain(outcome.reason), _facts(folder, plan, outcome)]
    if outcome.detail:
        title = "What did not fit" if outcome.ending is Ending.MEMORY else "Where it diverged"
        parts.append(f"### {title}\n\n" + _table(outcome.detail))
    stacks = folder.stacks(outcome.attempts - 1)
    if outcome.ending is Ending.HUNG and stacks.exists():
        text = stacks.read_text(errors="replace")[:_LONGEST_TRACEBACK]
        parts.append("### Where each rank stood\n\n" + _fenced(text))
    if outcome.traceback:
        parts.append("### Traceback\n\n" + _fenced(_tail(outcome.traceback)))
    if outcome.metrics:
        title = f"### Metrics of epoch {outcome.best_epoch}\n\n"
        parts.append(title + _table(dict(sorted(outcome.metrics.items()))))
    parts.append(_files(folder))
    return "\n\n".join(part for part in parts if part)


def study_note(folder: StudyFolder, settings: Settings, go_on: str) -> str:
    """What the study is, and the command that begins it or goes on with it."""
    parent = peek(folder).parent
    begun = f"Its trials start from {plain(parent.told())}.\n\n" if parent else ""
    goal = "lowest" if settings.objective.direction == "minimize" else "highest"
    return (
        f"## {plain(folder.name)}\n\n"
        f"Searches `{settings.family}` for the {goal} `{settings.objective.metric}` in "
        f"{words.counted(settings.n_trials, 'trial')}. Each trial's note says why it ended; its "
        "pictures are among its artifacts.\n\n"
        f"{begun}Settings: `{folder.settings}`\n\n"
        "To go on after an interruption:\n\n" + _fenced(go_on)
    )


def _job_of(folder: TrialFolder) -> str:
    """A cluster's job and nodes, where the last attempt ran in one."""
    try:
        record = json.loads(folder.attempt.read_text())
        return f"job {record['id']} on {record['nodes']}" if "job" in record else ""
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return ""


def _facts(folder: TrialFolder, plan: Plan | None, outcome: Outcome) -> str:
    facts: dict[str, Any] = {}
    if outcome.value is not None:
        name = plan.objective.metric if plan else "objective"
        facts[f"best {name}"] = outcome.value
        if outcome.folds:
            facts["the mean of folds"] = words.listed(outcome.folds)
        else:
            facts["at epoch"] = outcome.best_epoch
    if outcome.epoch:
        total = ""
        if plan and plan.recipe.epochs is not None:
            total = f" of {plan.folds * plan.recipe.epochs}"
        facts["epochs validated"] = f"{outcome.epoch}{total}"
    facts["attempts"] = outcome.attempts
    used = trial_account(folder, outcome.ending)
    if used.seconds:
        facts["used"] = account_sentence(used)
    if job := _job_of(folder):
        facts["the last in"] = job
    if plan:
        facts["devices"] = ", ".join(plan.devices)
    if plan and plan.stages > 1:
        facts["copies of the model"] = words.stages(plan.ranks, plan.stages, plan.mapped)
    if plan and plan.micro_batch:
        facts["micro-batch, for want of memory"] = plan.micro_batch
    return _table(facts)


def _files(folder: TrialFolder) -> str:
    lines = [f"- folder: `{folder.path}`"]
    lines += [
        f"- {name} checkpoint: `{path}`"
        for name, path in (("best", folder.best), ("last", folder.last))
        if path.exists()
    ]
    if folder.output.exists():
        lines.append(f"- the script's own files: `{folder.output}`")
        lines += [f"- checkpoint: `{path}`" for path in checkpoints_of(folder)]
    return "### Files\n\n" + "\n".join(lines)


def _table(rows: Mapping[str, Any]) -> str:
    lines = [f"| {_cell(name)} | {_cell(_value(value))} |" for name, value in rows.items()]
    return "\n".join(["| | |", "|---|---|", *lines])


def _value(value: Any) -> str:
    match value:
        case dict():
            return words.settings(value)
        case list():
            return ", ".join(str(item) for item in value) or "-"
    return words.setting(value)


def _cell(text: str) -> str:
    return plain(text).replace("|", "\\|").replace("\n", " ")


def plain(text: str) -> str:
    """`text` with Markdown's own characters made harmless."""
    return re.sub(r"([\\`*_\[\]<>#~$])", r"\\\1", text)


def _fenced(text: str) -> str:
    longest = max((len(run) for run in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}\n{text.rstrip()}\n{fence}"


def _tail(traceback: str) -> str:
    if len(traceback) <= _LONGEST_TRACEBACK:
        return traceback
    return "...\n" + traceback[-_LONGEST_TRACEBACK:]
