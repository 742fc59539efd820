"""What the commands that make data sets have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeVar

import typer
from pydantic import BaseModel, ValidationError

from protocol.errors import SettingsError

Out = Annotated[Path, typer.Option("--out", help="Folder to make; it must not exist yet.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the data set at --out.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of everything random.")]

Model = TypeVar("Model", bound=BaseModel)


def checked(model: type[Model], **values: object) -> Model:
    """The settings, or one sentence on the first option that is out of range.

    Raises:
        SettingsError: an option is out of range.
    """
    try:
        return model(**values)
    except ValidationError as error:
        first = error.errors()[0]
        option = f"--{first['loc'][0]}: found {first['input']}; " if first["loc"] else "--"
        reason = str(first["msg"]).removeprefix("Value error, ")
        raise SettingsError(option + reason) from error


def next_command(out: Path, preset: str = "fbp_window", *also: str) -> str:
    """What to type next, for people.

    Args:
        out: the data set.
        preset: a study's that reads it.
        also: further settings, as in `data.mode=t1`.
    """
    settings = [f"data.root={out}", *(setting.replace(" ", "") for setting in also)]
    words = " ".join(f"--set {setting}" for setting in settings)
    command = f"./run_study.sh --study_name NAME --preset {preset} {words}"
    return f"Wrote {out}. To search on it:\n  {command}"
