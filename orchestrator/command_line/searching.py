"""Commands that search, check what was found, and say how a study stands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from orchestrator.command_line.app import RUNS, RunsDir, StudyName, TrialOption, app, folder_of
from orchestrator.completion import presets

if TYPE_CHECKING:
    from orchestrator.settings.layers import Asked


@app.command()
def run(
    study_name: StudyName,
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset", help="A name in studies/, or a .yml file.", autocompletion=presets
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="Central settings instead of config.yml.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="dotted.key=value, over every file; may be repeated."),
    ] = None,
    n_trials: Annotated[
        int | None, typer.Option("--n_trials", help="Trials of the whole study.")
    ] = None,
    timeout: Annotated[
        float | None, typer.Option("--timeout", help="Seconds of searching of the whole study.")
    ] = None,
    preflight: Annotated[
        bool | None,
        typer.Option(
            "--preflight/--no-preflight",
            help="Try the largest configurations for two steps each before the first trial, and "
            "say what memory they need; numbers are taken to cost more the higher they are.",
            show_default="on GPUs",
        ),
    ] = None,
    restart: Annotated[
        bool,
        typer.Option(
            "--restart",
            help="Discard what was begun under this name and start over with this command alone; "
            "only while no trial is complete.",
        ),
    ] = False,
    detach: Annotated[
        bool,
        typer.Option(
            "--detach",
            help="On a cluster: search from a small job of its own, which outlives this shell.",
        ),
    ] = False,
    cancel: Annotated[
        bool,
        typer.Option(
            "--cancel", help="End the search at once, with all jobs of its trials on a cluster."
        ),
    ] = False,
    runs_dir: RunsDir = RUNS,
) -> None:
    """Search, or go on with a study that was interrupted."""
    if cancel:
        from orchestrator.commands.cancel import cancel_study
        from orchestrator.live.console import PatientConsole

        raise typer.Exit(cancel_study(study_name, runs_dir, PatientConsole()))
    from orchestrator.commands.run import run_study
    from orchestrator.live.console import PatientConsole
    from orchestrator.settings.layers import Asked

    sets = list(set_ or [])
    sets += [f"n_trials={n_trials}"] if n_trials is not None else []
    sets += [f"timeout={timeout}"] if timeout is not None else []
    asked = Asked(preset=_absolute_preset(preset), config=_absolute(config), sets=sets)
    if detach:
        from orchestrator.commands.detach import detach_study

        typed = _arguments(asked, preflight, restart)
        typed = ["--study_name", study_name, "--runs_dir", str(runs_dir.absolute()), *typed]
        raise typer.Exit(detach_study(study_name, runs_dir, asked, typed, PatientConsole()))
    raise typer.Exit(run_study(study_name, runs_dir, asked, PatientConsole(), preflight, restart))


def _arguments(asked: Asked, preflight: bool | None, restart: bool) -> list[str]:
    """What was asked for, as it is typed."""
    typed = [] if asked.preset is None else ["--preset", str(asked.preset)]
    typed += [] if asked.config is None else ["--config", str(asked.config)]
    typed += [part for value in asked.sets for part in ("--set", value)]
    typed += {None: [], True: ["--preflight"], False: ["--no-preflight"]}[preflight]
    return typed + (["--restart"] if restart else [])


@app.command()
def status(
    study_name: StudyName,
    top: Annotated[
        int | None, typer.Option("--top", min=1, help="Only so many trials, the best.")
    ] = None,
    state: Annotated[
        Literal["complete", "pruned", "failed", "running", "waiting"] | None,
        typer.Option("--state", help="Only trials that stand so."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    runs_dir: RunsDir = RUNS,
) -> None:
    """Say how a study stands; works while it runs."""
    from orchestrator.commands.status import show_status

    show_status(folder_of(study_name, runs_dir), as_json=json, state=state, top=top)


@app.command(name="list")
def list_(
    json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    runs_dir: RunsDir = RUNS,
) -> None:
    """Say how every study in a folder stands; works while they run."""
    from orchestrator.commands.list import list_studies

    list_studies(runs_dir, as_json=json)


@app.command()
def log(
    study_name: StudyName,
    trial: TrialOption = "best",
    rank: Annotated[int, typer.Option("--rank", min=0, help="Of several processes.")] = 0,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on until the trial has ended, or ^C.")
    ] = False,
    runs_dir: RunsDir = RUNS,
) -> None:
    """Print what a process of a trial has printed; works while it trains."""
    from orchestrator.commands.log import show_log

    show_log(folder_of(study_name, runs_dir), trial, rank=rank, follow=follow)


@app.command()
def verify(study_name: StudyName, runs_dir: RunsDir = RUNS) -> None:
    """Check that a study's record fits together: recompute what was asked and decided."""
    from orchestrator.commands.verify import verify_study

    raise typer.Exit(verify_study(folder_of(study_name, runs_dir)))


@app.command()
def reproduce(
    study_name: StudyName,
    trial: Annotated[int, typer.Option("--trial", min=0, help="The trial's number.")],
    runs_dir: RunsDir = RUNS,
) -> None:
    """Train a trial once more from its plan, and compare it epoch by epoch."""
    from orchestrator.commands.reproduce import reproduce_trial

    raise typer.Exit(reproduce_trial(folder_of(study_name, runs_dir), trial))


@app.command()
def confirm(
    study_name: StudyName,
    top: Annotated[int, typer.Option("--top", min=1, help="How many of the best trials.")] = 5,
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, help="How often each is trained again.")
    ] = 3,
    json: Annotated[
        bool, typer.Option("--json", help="For programs; progress goes to the error output.")
    ] = False,
    runs_dir: RunsDir = RUNS,
) -> None:
    """Train the best trials again with fresh seeds, and say whether the winner is luck."""
    from orchestrator.commands.confirm import confirm_study

    folder = folder_of(study_name, runs_dir)
    raise typer.Exit(confirm_study(folder, top=top, seeds=seeds, as_json=json))


def _absolute(path: Path | None) -> str | None:
    return None if path is None else str(path.absolute())


def _absolute_preset(preset: str | None) -> str | None:
    if preset is not None and preset.endswith((".yml", ".yaml")):
        return str(Path(preset).absolute())
    return preset
