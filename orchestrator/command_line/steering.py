"""Commands that ask something of a study from another shell."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.command_line.app import RUNS, RunsDir, StudyName, Why, app, folder_of


@app.command()
def stop(
    study_name: StudyName,
    trial: Annotated[
        int | None, typer.Option("--trial", min=0, help="End this one alone, as pruned.")
    ] = None,
    why: Why = "",
    runs_dir: RunsDir = RUNS,
) -> None:
    """End a search as ^C in its own shell would, or one trial of it, from any host."""
    from orchestrator.commands.steering.stop import stop_study, stop_trial
    from orchestrator.live.console import PatientConsole

    folder = folder_of(study_name, runs_dir)
    if trial is None:
        raise typer.Exit(stop_study(folder, why, PatientConsole()))
    raise typer.Exit(stop_trial(folder, trial, why, PatientConsole()))


@app.command()
def pause(
    study_name: StudyName,
    until: Annotated[
        str | None,
        typer.Option(
            "--until", metavar="TIME", help="07:00 or 2026-01-31T07:00; else until `resume`."
        ),
    ] = None,
    why: Why = "",
    runs_dir: RunsDir = RUNS,
) -> None:
    """Have no trial of a study train for a while: its devices are free."""
    from orchestrator.commands.steering.pause import pause_study
    from orchestrator.live.console import PatientConsole

    raise typer.Exit(pause_study(folder_of(study_name, runs_dir), until, why, PatientConsole()))


@app.command()
def resume(study_name: StudyName, runs_dir: RunsDir = RUNS) -> None:
    """Have a paused study go on."""
    from orchestrator.commands.steering.pause import resume_study
    from orchestrator.live.console import PatientConsole

    raise typer.Exit(resume_study(folder_of(study_name, runs_dir), PatientConsole()))


@app.command()
def add(
    study_name: StudyName,
    point: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="What is not named is proposed."),
    ] = None,
    from_: Annotated[
        str | None, typer.Option("--from", metavar="STUDY", help="Its best trials instead.")
    ] = None,
    top: Annotated[int, typer.Option("--top", min=1, help="How many of them.")] = 5,
    file: Annotated[
        Path | None,
        typer.Option("--file", help="A .csv instead: a line of keys, and a line for each point."),
    ] = None,
    repeat: Annotated[int, typer.Option("--repeat", min=1, help="Times each is tried.")] = 1,
    why: Why = "",
    runs_dir: RunsDir = RUNS,
) -> None:
    """Have a study try points of your own next, within its budget."""
    from orchestrator.commands.steering.add import Wanted, add_points
    from orchestrator.live.console import PatientConsole

    other = None if from_ is None else folder_of(from_, runs_dir)
    wanted = Wanted(typed=point or (), study=other, top=top, file=file)
    folder = folder_of(study_name, runs_dir)
    raise typer.Exit(add_points(folder, wanted, repeat, why, PatientConsole()))


@app.command()
def ignore(
    study_name: StudyName,
    trial: Annotated[int, typer.Option("--trial", min=0, help="The trial's number.")],
    again: Annotated[bool, typer.Option("--again", help="It counts again.")] = False,
    why: Why = "",
    runs_dir: RunsDir = RUNS,
) -> None:
    """Have a trial count for nothing: for the sampler, the pruner, the best and what follows."""
    from orchestrator.commands.steering.ignore import ignore_trial
    from orchestrator.live.console import PatientConsole

    folder = folder_of(study_name, runs_dir)
    raise typer.Exit(ignore_trial(folder, trial, why, again, PatientConsole()))


@app.command(name="set")
def set_(
    study_name: StudyName,
    setting: Annotated[list[str], typer.Argument(metavar="KEY=VALUE", help="As with `run --set`.")],
    why: Why = "",
    runs_dir: RunsDir = RUNS,
) -> None:
    """Change a study's settings: budget, limits, sampler; choices, ranges and keys of its space."""
    from orchestrator.commands.steering.set import set_settings
    from orchestrator.live.console import PatientConsole

    raise typer.Exit(set_settings(folder_of(study_name, runs_dir), setting, why, PatientConsole()))


@app.command()
def delete(
    study_name: StudyName,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    keep: Annotated[
        str | None,
        typer.Option("--keep", metavar="best", help="Export the best trial first, beside it."),
    ] = None,
    runs_dir: RunsDir = RUNS,
) -> None:
    """Delete a study that nobody runs, with its rows in a shared database."""
    from orchestrator.commands.steering.delete import delete_study
    from orchestrator.live.console import PatientConsole

    folder = folder_of(study_name, runs_dir)
    raise typer.Exit(delete_study(folder, yes=yes, keep=keep, console=PatientConsole()))
