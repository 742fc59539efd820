"""The program's own options, and what commands' options have in common."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.completion import studies

if TYPE_CHECKING:
    from protocol.folders import StudyFolder

ROOT = Path(__file__).resolve().parents[2]

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


def folder_of(study_name: str, runs_dir: Path) -> StudyFolder:
    from orchestrator.study.find import check_study_name
    from protocol.folders import StudyFolder

    return StudyFolder(runs_dir / check_study_name(study_name))
