"""The model card of an exported folder, its README.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from orchestrator import words
from orchestrator.confirmation.saved import Confirmation, Confirmed
from protocol.messages import Plan

_WHAT = {
    "sinogram": "Reconstructs a CT slice from a parallel-beam sinogram.",
    "brain": "Shows what a slice of a brain MRI would look like if it were healthy; what differs "
    "may be a lesion.",
    "xrays": "Makes a CT volume that may belong to a front and a lateral X-ray.",
}
_LIMITS = {
    "sinogram": "It knows this one scan geometry; other angles, detectors or images need "
    "another training.",
    "brain": "What it leaves over is no diagnosis: artefacts and uncommon but healthy anatomy are "
    "left over as well. Noise is the same for every slice and every run.",
    "xrays": "Two X-rays do not determine a volume: what they do not show is made up after the "
    "training's bodies. Never measure or diagnose on it.",
}
_FILES = {
    "best.pth": "the checkpoint; its SHA-256 is in `metrics.json`",
    "model.safetensors": "the weights alone",
    "model.pt": "the weights alone, for `monai.bundle.load`",
    "model.pt2": "the program as a `torch.export` graph, for the CPU and batches of any size",
    "model.onnx": "the same for ONNX runtimes",
    "predict.py": "runs either, and compares with the stored output (`--check`)",
    "program.json": "what `predict.py` has to know; `check/` what it compares",
}


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What there is to say of an export."""

    plan: Plan
    result: Mapping[str, Any]  # metrics.json
    program: Mapping[str, Any]  # what the call `export` answered
    pictures: Sequence[str] = ()
    own_file: str | None = None  # the family's, where it is neither the project's nor a package's
    parent: str | None = None  # the file of the model that this one builds upon
    evaluations: Mapping[str, Any] = field(default_factory=dict)  # evaluation.json
    confirmation: Confirmation | None = None
    models: str = ""  # the folder that the model's files are in, as a prefix


def model_card(name: str, exported: Exported) -> str:
    """What the folder `name` is, holds and needs."""
    plan, program = exported.plan, exported.program
    kind = program["kind"]
    lines = [
        f"# {plan.family}: trial {plan.trial} of study {plan.study}",
        "",
        *([_WHAT[kind], ""] if kind in _WHAT else []),
        _where(plan, exported.result),
        f"{program['parameters']:,} weights.".replace(",", " "),
        "",
        "Licence: (to be filled in by whoever passes this folder on)",
        "",
        *_using(exported),
        *_ports(program),
        "## How good it is",
        "",
        *_table("metric", exported.result["metrics"]),
        *_confirmed(exported),
        *_evaluated(exported.evaluations),
        "## What it was trained on",
        "",
        "```yaml",
        yaml.safe_dump(plan.data, sort_keys=False, allow_unicode=True).rstrip(),
        "```",
        "",
        *_table("searched setting", {key: plan.recipe.given.get(key) for key in plan.searched}),
        "## Limits and intended use",
        "",
        "For research. It is not a medical device and must not decide about a patient.",
        *([_LIMITS[kind]] if kind in _LIMITS else []),
        "It was judged on data like its training's; on other scanners, bodies or doses it is",
        "unknown until somebody has looked.",
        "",
        *_files(exported),
        *_loading(name, exported),
    ]
    return "\n".join([*lines, ""])


def _where(plan: Plan, result: Mapping[str, Any]) -> str:
    value = f"{plan.objective.metric} {words.number(result['objective'])}"
    if plan.folds > 1:
        return (
            f"Cross-validated: {value}, the mean over the validation splits of {plan.folds} "
            "folds. The checkpoint is the best fold's."
        )
    return f"Epoch {result['epoch']}, {value} on the validation split."


def _using(exported: Exported) -> list[str]:
    program, missing = exported.program, exported.program["missing"]
    lines = ["## Using it", ""]
    if "predict.py" not in missing:
        inputs = " ".join(f"{port['name']}.npy" for port in program["inputs"])
        script = f"{exported.models}predict.py"
        lines += [
            "With torch, or with `--onnx` and onnxruntime; nothing else has to be installed:",
            "",
            "```bash",
            f"python {script} --check",
            f"python {script} {inputs} {program['outputs'][0]['name']}.npy",
            "```",
            "",
        ]
    lines += [f"There is no {names}: {reason}." for names, reason in lacking(missing)]
    return [*lines, ""] if missing else lines


def lacking(missing: Mapping[str, str]) -> list[tuple[str, str]]:
    """Files that are not there, those of one reason together, and the reason."""
    reasons = dict.fromkeys(missing.values())
    return [
        (", ".join(name for name in missing if missing[name] == reason), reason)
        for reason in reasons
    ]


def _ports(program: Mapping[str, Any]) -> list[str]:
    if not program["inputs"]:
        return []
    lines = ["| | shape, after the batch | unit and range | |", "|---|---|---|---|"]
    for way in ("inputs", "outputs"):
        for port in program[way]:
            shape = " × ".join(map(str, port["shape"]))
            known = port["low"] is not None
            span = f"; {port['low']:g} to {port['high']:g}" if known else ""
            what = f"{way[:-1]} `{port['name']}`"
            lines.append(f"| {what} | {shape} | {port['unit']}{span} | {port['meaning']} |")
    facts = [f"`{key}`: {_plain(value)}" for key, value in program["facts"].items()]
    return [*lines, "", *(["; ".join(facts) + ".", ""] if facts else [])]


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return " × ".join(map(_plain, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _table(title: str, rows: Mapping[str, Any]) -> list[str]:
    if not rows:
        return []
    body = [f"| {key} | {words.setting(value)} |" for key, value in sorted(rows.items())]
    return [f"| {title} | |", "|---|---|", *body, ""]


def _confirmed(exported: Exported) -> list[str]:
    trial = confirmed_trial(exported.confirmation, exported.plan.trial)
    if trial is None or exported.confirmation is None or trial.mean is None:
        return ["Not confirmed: how far another seed would be from this is not known.", ""]
    interval = ""
    if trial.low is not None and trial.high is not None:
        level, low, high = exported.confirmation.level, trial.low, trial.high
        interval = f", {level:.0%} interval {words.number(low)} to {words.number(high)}"
    return [
        f"Trained again with {len(trial.values)} fresh seeds: {exported.confirmation.metric} "
        f"{words.number(trial.mean)} on average{interval}.",
        "",
    ]


def confirmed_trial(confirmation: Confirmation | None, number: int) -> Confirmed | None:
    """What confirming a trial came to, if it was confirmed."""
    trials = [] if confirmation is None else confirmation.trials
    return next((trial for trial in trials if trial.trial == number), None)


def _evaluated(evaluations: Mapping[str, Any]) -> list[str]:
    lines: list[str] = []
    for split, found in evaluations.items():
        for group, part in found.get("groups", {}).items():
            cases = f"{split}, {group} ({part['cases']} cases)"
            lines += [f"| {cases} | mean | standard deviation |", "|---|---|---|"]
            for name, score in part["scores"].items():
                spread = "" if score["std"] is None else words.setting(score["std"])
                lines.append(f"| {name} | {words.setting(score['mean'])} | {spread} |")
            lines.append("")
    return lines


def _files(exported: Exported) -> list[str]:
    missing, models = exported.program["missing"], exported.models
    lines = ["| file | |", "|---|---|"]
    for name, what in _FILES.items():
        script = name == "program.json" and "predict.py" in missing
        if name not in missing and not script and (name != "model.pt" or models):
            lines.append(f"| `{models}{name}` | {what} |")
    lines += [
        "| `settings.yml` | family, recipe, data and objective of the trial |",
        "| `metrics.json` | the metrics in full precision |",
    ]
    if exported.evaluations:
        lines.append("| `evaluation.json` | what `evaluate` found |")
    if confirmed_trial(exported.confirmation, exported.plan.trial):
        lines.append("| `confirmation.json` | what training it again with fresh seeds came to |")
    if exported.pictures:
        lines.append("| `pictures/` | validation samples |")
    if exported.parent:
        lines.append(
            f"| `{models}{exported.parent}` | the model of another study that it builds upon |"
        )
    if exported.own_file:
        lines.append(f"| `{models}{exported.own_file}` | the family, as it is now |")
    return [*lines, ""]


def _loading(name: str, exported: Exported) -> list[str]:
    family, own_file = exported.plan.family, exported.own_file
    if own_file:
        family_note = [f"Where {family} is not there, `{own_file}` beside `best.pth` is used.", ""]
    elif ":" in family:
        family_note = [f"The family comes from its own file, {family}, which must be there.", ""]
    else:
        family_note = []
    return [
        "## Loading the checkpoint",
        "",
        "In an environment with tomostudy installed, beside this folder:",
        "",
        "```python",
        "from worker.calls.show import load_model",
        "",
        f'family, model = load_model("{name}/{exported.models}best.pth")',
        "```",
        "",
        *family_note,
        "`model` is a `torch.nn.Module` on the CPU in evaluation mode; `family` opens data sets,",
        "evaluates and draws. A checkpoint that is damaged is refused.",
    ]
