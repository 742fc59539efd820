"""Refusing what a study of `family: script` cannot be, before anything of it is written."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from orchestrator.settings.complaints import nearest
from orchestrator.settings.layers import Layers
from orchestrator.settings.schema import Settings
from orchestrator.settings.script import PLACES, ScriptSettings, split
from protocol.errors import SettingsError
from protocol.script import SCRIPT, names_in

# What has to do with training that happens in the command, out of reach.
_OUT_OF_REACH = {
    "parent": None,
    "folds": 1,
    "deterministic": False,
    "limits.memory_gb": None,
    "keep.every_epochs": None,
}


def check_script(settings: Settings, layers: Layers) -> list[str]:
    """Refuse what cannot be run; sentences that people should read otherwise.

    Raises:
        SettingsError: a sentence for everything that is wrong, with file and key.
    """
    script = settings.script
    assert script is not None
    wrong = [
        str(layers.placed(error))
        for error in (
            *_foreign(settings),
            *_placeholders(settings, script),
            *_places(script),
            *_ways(settings, script),
        )
    ]
    if wrong:
        raise SettingsError("\n".join(wrong))
    return list(_remarks(settings, script))


def check_section(settings: Settings) -> None:
    """Refuse the family without its section, and the section without its family.

    Raises:
        SettingsError: one of them is missing.
    """
    scripted = settings.family == SCRIPT
    if scripted and settings.script is None:
        raise SettingsError(
            "missing; expected what `family: script` runs: `command`, `workdir`, `report`",
            key="script",
        )
    if settings.script is not None and not scripted:
        raise SettingsError(
            f"found {settings.family!r} beside a `script:` section; expected script", key="family"
        )


def _foreign(settings: Settings) -> Iterator[SettingsError]:
    for key, usual in _OUT_OF_REACH.items():
        section, _, name = key.partition(".")
        found = getattr(settings, section)
        found = getattr(found, name) if name else found
        if found != usual:
            told = f"{usual!r}" if usual is not None else "nothing"
            yield SettingsError(
                f"is out of reach where the script trains by itself; expected {told}", key=key
            )
    if settings.data:
        yield SettingsError(
            "the script knows its data itself; write what it needs into the command", key="data"
        )
    if settings.parallel.kind != "ddp":
        yield SettingsError(
            f"found {settings.parallel.kind!r}, but nobody here can cut the script's model; "
            "expected ddp, and how many processes as `ranks`",
            key="parallel.kind",
        )


def _placeholders(settings: Settings, script: ScriptSettings) -> Iterator[SettingsError]:
    known = {*settings.search, *settings.recipe}
    for key in sorted(known & PLACES.keys()):
        section = "search" if key in settings.search else "recipe"
        yield SettingsError(
            f"{{{key}}} stands for the trial's {key}; choose another name", key=f"{section}.{key}"
        )
    used = set()
    for place, words in _texts(script).items():
        for name in names_in(words):
            used.add(name)
            if name not in known | PLACES.keys():
                all_names = [*settings.search, *settings.recipe, *PLACES]
                yield SettingsError(
                    f"{{{name}}} is no key{nearest(name, all_names)}; known are "
                    f"{', '.join(all_names)}",
                    key=f"script.{place}",
                )
    for key in settings.search:
        if key not in used:
            yield SettingsError(
                f"is searched, but the command does not have it; write {{{key}}} where the script "
                "takes it",
                key=f"search.{key}",
            )


def _texts(script: ScriptSettings) -> dict[str, list[str]]:
    report = script.report
    return {
        "command": split(script.command),
        "resume": split(script.resume),
        "report.csv": [report.csv or ""],
        "report.jsonl": [report.jsonl or ""],
        "report.tensorboard": [report.tensorboard or ""],
    }


def _places(script: ScriptSettings) -> Iterator[SettingsError]:
    if not Path(script.workdir).is_dir():
        yield SettingsError(f"there is no folder {script.workdir}", key="script.workdir")
        return
    program = split(script.command)[0]
    if "{" in program:
        return
    if "/" in program:
        path = Path(script.workdir, program)
        if not (path.is_file() and os.access(path, os.X_OK)):
            yield SettingsError(f"{path} is no program that can be run", key="script.command")
    elif shutil.which(program) is None:
        yield SettingsError(
            f"there is no program {program!r}; expected one on the PATH, or its path, such as "
            "/home/me/envs/mine/bin/python",
            key="script.command",
        )


def _ways(settings: Settings, script: ScriptSettings) -> Iterator[SettingsError]:
    if (
        script.launch == "plain"
        and settings.launcher.kind == "slurm"
        and settings.launcher.nodes > 1
    ):
        yield SettingsError(
            f"found plain, one process, beside launcher.nodes: {settings.launcher.nodes}; "
            "expected torchrun",
            key="script.launch",
        )
    if script.report.tensorboard is not None and find_spec("tensorboard") is None:
        yield SettingsError(
            "event files are read with tensorboard, which is not installed; run "
            "scripts/setup.sh tensorboard",
            key="script.report.tensorboard",
        )


def _remarks(settings: Settings, script: ScriptSettings) -> Iterator[str]:
    if not script.resume:
        yield (
            "script.resume is not set: a trial that is interrupted begins anew; name the file to "
            "go on from, as in `resume: --resume {folder}/last.ckpt`"
        )
    if not script.seeded:
        yield (
            "the command has no {seed}: whatever is random in it is up to the script, and "
            "`confirm` cannot repeat a trial with others"
        )
