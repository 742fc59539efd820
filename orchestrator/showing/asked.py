"""What a study was asked, and how it can be repeated, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from orchestrator import words
from orchestrator.reporting.hints import commands_on
from orchestrator.showing.look import Look

_WORDS = {"minimize": "lowest", "maximize": "highest"}


def goal(look: Look) -> str:
    """`the highest psnr`."""
    return f"the {_WORDS[look.record.direction]} {look.metric}"


def facts(look: Look) -> dict[str, str]:
    """The study in a few lines."""
    settings = look.settings
    told = {
        "Family": str(settings.get("family", "?")),
        "Searched for": f"{goal(look)} on the validation split",
        "Data": str(look.section("data").get("root", "")),
        "Trials asked for": str(settings.get("n_trials", "")),
        "Folds of each": str(settings.get("folds", 1)) if settings.get("folds", 1) != 1 else "",
        "Sampler": kind(look, "sampler"),
        "Pruner": kind(look, "pruner"),
        "Seed": str(settings.get("seed", "")),
        "Starts from": str(look.section("parent").get("study") or ""),
    }
    return {name: value for name, value in told.items() if value}


def kind(look: Look, section: str) -> str:
    """`tpe (n_startup_trials=5)`: its kind, and the options that were set."""
    options = dict(look.section(section))
    name = str(options.pop("kind", ""))
    known = {key: value for key, value in options.items() if value is not None}
    return f"{name} ({words.settings(known)})" if known else name


def space(look: Look) -> dict[str, tuple[str, str]]:
    """Of every searched key what it may be, and while which others it is searched."""
    return {
        key: (_spelled(spec), _condition(spec.get("when") or {}))
        for key, spec in look.section("search").items()
        if isinstance(spec, dict)
    }


def _spelled(spec: Mapping[str, Any]) -> str:
    if "choices" in spec:
        return ", ".join(words.setting(choice) for choice in spec["choices"])
    text = f"{words.setting(spec.get('low'))} to {words.setting(spec.get('high'))}"
    text += ", logarithmic" if spec.get("log") else ""
    return text + (f", step {words.setting(spec['step'])}" if spec.get("step") else "")


def _condition(when: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{key} is {' or '.join(map(str, value)) if isinstance(value, list) else value}"
        for key, value in when.items()
    )


def commands(look: Look) -> dict[str, str]:
    """What to type, by what for."""
    known = commands_on(look.folder)
    found = {"begin it anew": known.go_on(*_typed(look))}
    scripted = look.plan is not None and look.plan.script is not None
    if look.best is not None and not scripted:
        found["train the best trial again, and compare it epoch by epoch"] = known.on_study(
            "reproduce", "--trial", str(look.best.number)
        )
        found["take its model elsewhere"] = known.on_study("export", "--out", f"{look.name}_best")
    found["check that the record fits together"] = known.on_study("verify")
    return found


def _typed(look: Look) -> Iterator[str]:
    asked = look.content.get("asked")
    asked = asked if isinstance(asked, dict) else {}
    for option in ("preset", "config"):
        if asked.get(option):
            yield from (f"--{option}", str(asked[option]))
    for entry in asked.get("sets") or []:
        yield from ("--set", words.without_passwords(str(entry)))


def settings_text(look: Look) -> str:
    """All settings in effect, as YAML, without passwords."""
    text = yaml.safe_dump(look.settings, sort_keys=False, allow_unicode=True)
    return words.without_passwords(text)


def inputs(look: Look) -> dict[str, dict[str, Any]]:
    """What the study reads, with its fingerprints, by key."""
    found = look.content.get("inputs")
    known = found if isinstance(found, dict) else {}
    return {key: place for key, place in known.items() if isinstance(place, dict)}


def surroundings(look: Look) -> dict[str, str]:
    """Processor, versions and commit of the best trial's last attempt."""
    return dict(look.plan.surroundings) if look.plan else {}
