"""The README.md of an exported model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator import words
from protocol.messages import Plan


def export_readme(
    name: str,
    plan: Plan,
    result: Mapping[str, Any],
    *,
    pictures: Sequence[str],
    own_file: str | None = None,
    parent: str | None = None,
) -> str:
    """What the folder `name` holds and how its model is loaded.

    Args:
        own_file: the family's file there, where it is neither the project's nor a package's.
        parent: the file there of the model that this one builds upon.
    """
    searched = {key: plan.recipe.given.get(key) for key in plan.searched}
    lines = [
        f"# {plan.family}: trial {plan.trial} of study {plan.study}",
        "",
        _where(plan, result),
        "",
        *_table("metric", result["metrics"]),
        *_table("searched setting", searched),
        "| file | |",
        "|---|---|",
        "| `best.pth` | the checkpoint; its SHA-256 is in `metrics.json` |",
        "| `settings.yml` | family, recipe, data and objective of the trial |",
        "| `metrics.json` | the metrics in full precision |",
    ]
    if pictures:
        lines.append("| `pictures/` | validation samples |")
    if parent:
        lines.append(f"| `{parent}` | the model of another study that it builds upon |")
    if own_file:
        lines.append(f"| `{own_file}` | the family, as it is now |")
    return "\n".join([*lines, "", *_loading(name, plan, own_file), ""])


def _where(plan: Plan, result: Mapping[str, Any]) -> str:
    value = f"{plan.objective.metric} {words.number(result['objective'])}"
    if plan.folds > 1:
        return (
            f"Cross-validated: {value}, the mean over the validation splits of {plan.folds} "
            "folds. The checkpoint is the best fold's."
        )
    return f"Epoch {result['epoch']}, {value} on the validation split."


def _table(title: str, rows: Mapping[str, Any]) -> list[str]:
    if not rows:
        return []
    body = [f"| {key} | {words.setting(value)} |" for key, value in sorted(rows.items())]
    return [f"| {title} | |", "|---|---|", *body, ""]


def _loading(name: str, plan: Plan, own_file: str | None) -> list[str]:
    family = plan.family
    if own_file:
        family_note = [f"Where {family} is not there, `{own_file}` beside `best.pth` is used.", ""]
    elif ":" in family:
        family_note = [f"The family comes from its own file, {family}, which must be there.", ""]
    else:
        family_note = []
    return [
        "## Loading it",
        "",
        "In an environment with tomostudy installed, beside this folder:",
        "",
        "```python",
        "from worker.calls.show import load_model",
        "",
        f'family, model = load_model("{name}/best.pth")',
        "```",
        "",
        *family_note,
        "`model` is a `torch.nn.Module` on the CPU in evaluation mode; `family` opens data sets,",
        "evaluates and draws. A checkpoint that is damaged is refused.",
    ]
