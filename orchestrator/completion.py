"""Completion of what is typed, by typer's scripts for bash, zsh and fish."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from enum import StrEnum
from pathlib import Path

import typer
from typer import completion as typers

from protocol.errors import UserError

VARIABLE = "_TOMOSTUDY_COMPLETE"  # in the environment of a command that is to complete
PROGRAMS = ("run_study.sh", "tomostudy")
_PRESETS = Path(__file__).parents[1] / "studies"


class Shell(StrEnum):
    """Those that typer knows, and run_study.sh as well."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def scripts(shell: Shell) -> str:
    """What a shell has to be told, for each name of the program."""
    found = [
        typers.get_completion_script(  # type: ignore[attr-defined]
            prog_name=program, complete_var=VARIABLE, shell=shell
        )
        for program in PROGRAMS
    ]
    return "\n\n".join(found)


def install(shell: Shell) -> Iterator[Path]:
    """Write that where the shell reads it when it starts; each file that was written.

    Raises:
        UserError: nothing can be written there.
    """
    for program in PROGRAMS:
        try:
            _, path = typers.install(  # type: ignore[attr-defined]
                shell=shell, prog_name=program, complete_var=VARIABLE
            )
        except OSError as error:
            raise UserError(f"completion cannot be installed: {error}") from None
        yield path


def prepare(environment: MutableMapping[str, str]) -> None:
    """Be ready to complete; an option without a command is one of `run`, which may be left out.

    Args:
        environment: in which the shell says what was typed; changed.
    """
    typers.completion_init()  # type: ignore[attr-defined]
    for name in ("COMP_WORDS", "_TYPER_COMPLETE_ARGS"):
        program, _, typed = environment.get(name, "").partition(" ")
        if not typed.lstrip().startswith("-"):
            continue
        environment[name] = f"{program} run {typed}"
        if name == "COMP_WORDS":
            environment["COMP_CWORD"] = str(int(environment["COMP_CWORD"]) + 1)


def studies(context: typer.Context, incomplete: str) -> list[str]:
    """The names of studies that begin so."""
    runs = Path(context.params.get("runs_dir") or _PRESETS.parent / "runs")
    found = (path.parent.name for path in runs.glob("*/study.yml"))
    return sorted(name for name in found if name.startswith(incomplete))


def presets(incomplete: str) -> list[str]:
    """The presets that begin so."""
    found = (path.stem for path in _PRESETS.glob("*.yml"))
    return sorted(name for name in found if name.startswith(incomplete))
