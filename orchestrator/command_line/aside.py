"""Commands that have no study: making data, help for editors and shells."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from orchestrator.command_line.app import ROOT, app
from orchestrator.completion import Shell


@app.command(
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def prepare(context: typer.Context) -> None:
    """Make a data set: `prepare lodopab --help`, `prepare phantoms --help`."""
    environment = {**os.environ, "PYTHONPATH": _python_path()}
    arguments = [sys.executable, "-P", "-m", "data", *context.args]
    sys.stdout.flush()
    os.execve(sys.executable, arguments, environment)


def _python_path() -> str:
    return os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))


@app.command()
def completion(
    shell: Annotated[Shell, typer.Option("--shell", help="To complete in.")] = Shell.BASH,
    install: Annotated[
        bool, typer.Option("--install", help="Write it where the shell reads it as it starts.")
    ] = False,
) -> None:
    """Print what has a shell complete commands, options and names of studies."""
    from orchestrator.completion import install as installed
    from orchestrator.completion import scripts

    if not install:
        print(scripts(shell))
        return
    for path in installed(shell):
        print(f"written to {path}")
    print("It counts in shells that start from now on.")


@app.command()
def schema() -> None:
    """Print the JSON Schema of the settings, by which editors complete and check a file of them."""
    print((ROOT / "studies" / "schema.json").read_text(encoding="utf-8"), end="")
