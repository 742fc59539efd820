"""The commands and their options. Each imports what it needs, so that --help is instant."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from orchestrator.completion import Shell, presets, studies

if TYPE_CHECKING:
    from orchestrator.settings.layers import Asked
    from protocol.folders import StudyFolder

ROOT = Path(__file__).resolve().parents[1]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Hyperparameter search for CT and MRI reconstruction models.\n\n"
    "`run` is the command when none is given: ./run_study.sh --study_name demo",
)

StudyName = Annotated[
    str,
    typer.Option(
        "--study_name", help="The study's name, its folder's too.", autocompletion=studies
    ),
]
RunsDir = Annotated[
    Path, typer.Option("--runs_dir", help="The folder that holds the studies.", show_default="runs")
]
Why = Annotated[str, typer.Option("--why", metavar="TEXT", help="Is recorded with the request.")]
TrialOption = Annotated[str, typer.Option("--trial", help="`best`, or a trial's number.")]
RUNS = ROOT / "runs"


def _tell_version(asked: bool) -> None:
    if asked:
        from tomllib import loads

        project = loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        print(project["name"], project["version"])
        raise typer.Exit


@app.callback()
def main_options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_tell_version, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Read what stands before a command."""


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

    show_status(_folder(study_name, runs_dir), as_json=json, state=state, top=top)


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

    show_log(_folder(study_name, runs_dir), trial, rank=rank, follow=follow)


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

    folder = _folder(study_name, runs_dir)
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

    raise typer.Exit(pause_study(_folder(study_name, runs_dir), until, why, PatientConsole()))


@app.command()
def resume(study_name: StudyName, runs_dir: RunsDir = RUNS) -> None:
    """Have a paused study go on."""
    from orchestrator.commands.steering.pause import resume_study
    from orchestrator.live.console import PatientConsole

    raise typer.Exit(resume_study(_folder(study_name, runs_dir), PatientConsole()))


@app.command()
def report(
    study_name: StudyName,
    out: Annotated[
        Path | None, typer.Option("--out", help="A .html file; else report.html of the study.")
    ] = None,
    runs_dir: RunsDir = RUNS,
) -> None:
    """Put all that a study found on one page, which needs no network; works while it runs."""
    from orchestrator.commands.showing.report import report_study

    report_study(_folder(study_name, runs_dir), out)


@app.command()
def gallery(
    study_name: StudyName,
    trials: Annotated[
        str | None,
        typer.Option("--trials", metavar="3,7,best", help="Which ones; else the best few."),
    ] = None,
    case: Annotated[
        str | None,
        typer.Option(
            "--case",
            help="A sample's number, or a name such as validation_0003; else all kept ones.",
        ),
    ] = None,
    split: Annotated[
        str, typer.Option("--split", help="Of a number: train, validation or test.")
    ] = "validation",
    out: Annotated[
        Path | None, typer.Option("--out", help="A .html file; else gallery.html of the study.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda:0, …")] = "cpu",
    runs_dir: RunsDir = RUNS,
) -> None:
    """Lay the same case, slice and window of several trials side by side, on a page."""
    from orchestrator.commands.showing.gallery import Wanted, show_gallery

    wanted = Wanted(trials=trials, case=case, split=split, out=out, device=device)
    show_gallery(_folder(study_name, runs_dir), wanted)


@app.command()
def compare(
    study_name: Annotated[
        list[str], typer.Option("--study_name", metavar="A B …", help="The studies' names.")
    ],
    out: Annotated[Path | None, typer.Option("--out", help="Also as a page: a .html file.")] = None,
    runs_dir: RunsDir = RUNS,
) -> None:
    """Say which of several studies has the better best, and by how much."""
    from orchestrator.commands.showing.compare import compare_studies

    compare_studies([_folder(name, runs_dir) for name in study_name], out)


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

    other = None if from_ is None else _folder(from_, runs_dir)
    wanted = Wanted(typed=point or (), study=other, top=top, file=file)
    folder = _folder(study_name, runs_dir)
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

    folder = _folder(study_name, runs_dir)
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

    raise typer.Exit(set_settings(_folder(study_name, runs_dir), setting, why, PatientConsole()))


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

    folder = _folder(study_name, runs_dir)
    raise typer.Exit(delete_study(folder, yes=yes, keep=keep, console=PatientConsole()))


@app.command()
def verify(study_name: StudyName, runs_dir: RunsDir = RUNS) -> None:
    """Check that a study's record fits together: recompute what was asked and decided."""
    from orchestrator.commands.verify import verify_study

    raise typer.Exit(verify_study(_folder(study_name, runs_dir)))


@app.command()
def reproduce(
    study_name: StudyName,
    trial: Annotated[int, typer.Option("--trial", min=0, help="The trial's number.")],
    runs_dir: RunsDir = RUNS,
) -> None:
    """Train a trial once more from its plan, and compare it epoch by epoch."""
    from orchestrator.commands.reproduce import reproduce_trial

    raise typer.Exit(reproduce_trial(_folder(study_name, runs_dir), trial))


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

    folder = _folder(study_name, runs_dir)
    raise typer.Exit(confirm_study(folder, top=top, seeds=seeds, as_json=json))


@app.command()
def dashboard(
    study_name: StudyName,
    port: Annotated[int, typer.Option("--port")] = 8080,
    host: Annotated[str, typer.Option("--host", help="Where to listen.")] = "127.0.0.1",
    runs_dir: RunsDir = RUNS,
) -> None:
    """Serve optuna-dashboard with the study and its pictures."""
    from orchestrator.commands.dashboard import serve_dashboard

    raise typer.Exit(serve_dashboard(_folder(study_name, runs_dir), host=host, port=port))


@app.command()
def visualize(
    study_name: StudyName,
    trial: TrialOption = "best",
    split: Annotated[str, typer.Option("--split", help="train, validation or test.")] = "test",
    samples: Annotated[int, typer.Option("--samples", min=1, help="Pictures to draw.")] = 4,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the pictures; else the trial's.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda:0, …")] = "cpu",
    curves: Annotated[
        bool,
        typer.Option(
            "--curves",
            help="Draw its losses and its objective over epochs instead, as they are now.",
        ),
    ] = False,
    runs_dir: RunsDir = RUNS,
) -> None:
    """Draw pictures from a trial's best checkpoint, and print its metrics on the whole split."""
    from orchestrator.commands.visualize import draw_curves, visualize_trial

    folder = _folder(study_name, runs_dir)
    if curves:
        draw_curves(folder, trial, out=out)
        return
    visualize_trial(folder, trial, split=split, samples=samples, out=out, device=device)


@app.command()
def evaluate(
    study_name: StudyName,
    trial: TrialOption = "best",
    split: Annotated[str, typer.Option("--split", help="val or test.")] = "test",
    tune_postprocessing: Annotated[
        int | None,
        typer.Option(
            "--tune_postprocessing",
            min=1,
            help="Search thresholds, filters and time steps in so many trials on the validation "
            "split first, without training; for anomaly detection.",
        ),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda:0, …")] = "cpu",
    runs_dir: RunsDir = RUNS,
) -> None:
    """Judge a trial's best checkpoint case by case, with pictures of the best and the worst."""
    from orchestrator.commands.evaluate import evaluate_trial

    folder = _folder(study_name, runs_dir)
    evaluate_trial(
        folder, trial, split=split, device=device, tune_postprocessing=tune_postprocessing
    )


@app.command()
def infer(
    study_name: StudyName,
    input_: Annotated[
        list[Path],
        typer.Option(
            "--input",
            metavar="FRONT LATERAL",
            help="Two X-rays (.png, .pt, .npy), the front view first, or one case folder.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="The .nii.gz or .nii file to make.")],
    trial: TrialOption = "best",
    voxel_size: Annotated[
        list[float] | None,
        typer.Option(
            "--voxel_size",
            metavar="MM | X Y Z",
            help="Voxels' size from right to left, front to back and head to feet; else as in the "
            "model's training.",
        ),
    ] = None,
    dtype: Annotated[str, typer.Option("--dtype", help="int16 or float32.")] = "int16",
    picture: Annotated[
        Path | None, typer.Option("--picture", help="Also draw its middle planes: a .png file.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite")] = False,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda:0, …")] = "cpu",
    runs_dir: RunsDir = RUNS,
) -> None:
    """Make a CT volume of two X-rays with a trial's best checkpoint."""
    from orchestrator.commands.infer import Wanted, infer_volume

    wanted = Wanted(
        inputs=input_,
        out=out,
        overwrite=overwrite,
        voxel_size=voxel_size or (),
        number=dtype,
        picture=picture,
        device=device,
    )
    infer_volume(_folder(study_name, runs_dir), trial, wanted)


@app.command()
def export(
    study_name: StudyName,
    out: Annotated[Path, typer.Option("--out", help="The folder to make.")],
    trial: TrialOption = "best",
    overwrite: Annotated[bool, typer.Option("--overwrite")] = False,
    runs_dir: RunsDir = RUNS,
) -> None:
    """Copy a trial's checkpoint, settings, metrics and pictures for use elsewhere."""
    from orchestrator.commands.export import export_command

    export_command(_folder(study_name, runs_dir), trial=trial, out=out, overwrite=overwrite)


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


def _folder(study_name: str, runs_dir: Path) -> StudyFolder:
    from orchestrator.study.find import check_study_name
    from protocol.folders import StudyFolder

    return StudyFolder(runs_dir / check_study_name(study_name))


def _python_path() -> str:
    return os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))


def _absolute(path: Path | None) -> str | None:
    return None if path is None else str(path.absolute())


def _absolute_preset(preset: str | None) -> str | None:
    if preset is not None and preset.endswith((".yml", ".yaml")):
        return str(Path(preset).absolute())
    return preset
