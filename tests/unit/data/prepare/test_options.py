from pathlib import Path
from typing import Annotated, Literal

import pytest
import typer
from pydantic import BaseModel, Field, PositiveInt, model_validator

from data.prepare.console import next_command
from data.prepare.fields import Metavar
from data.prepare.options import add_command, checked
from protocol.errors import SettingsError


class Sizes(BaseModel):
    width: int = Field(8, ge=1)
    height: int = 8

    @model_validator(mode="after")
    def _not_too_flat(self):
        if self.width > 4 * self.height:
            raise ValueError(f"width {self.width}: at most four times the height")
        return self


def test_options_in_range_are_taken():
    assert checked(Sizes, width=3) == Sizes(width=3)


def test_an_option_out_of_range_is_named_with_what_was_found():
    with pytest.raises(SettingsError, match=r"^--width: found 0; Input should be greater"):
        checked(Sizes, width=0)


def test_options_that_do_not_go_together_are_one_sentence():
    with pytest.raises(SettingsError, match=r"^--width 90: at most four times the height$"):
        checked(Sizes, width=90)


def test_the_next_command_reads_what_was_made():
    text = next_command(Path("/data/x"), "demo", "data.size=[4, 4]")
    assert text.endswith("--preset demo --set data.root=/data/x --set data.size=[4,4]")
    assert text.startswith("Wrote /data/x.")


class Place(BaseModel):
    out: Annotated[Path, Field(description="folder to make")]


class Shape(BaseModel):
    sides: Annotated[tuple[PositiveInt, PositiveInt], Metavar("ROWS COLUMNS")] = Field(
        (3, 4), description="pixels"
    )
    depth: PositiveInt | None = Field(None, description="slices; one if not given")
    kind: Literal["round", "square"] = Field("round", description="`round` has no corners")
    flat: bool = Field(False, description="leave out the rest")


@pytest.fixture
def call(capsys):
    """Runs a command line of a program whose one command takes Shape and Place."""
    taken = []

    def run(shape, place):
        """Draw it."""
        taken.append((shape, place))

    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    add_command(app, "draw", run, Shape, Place, defaults={"kind": "square"})

    def typed(*words):
        taken.clear()
        with pytest.raises(SystemExit) as leaving:
            app(args=list(words), prog_name="program")
        said = capsys.readouterr()
        return leaving.value.code, said.out + said.err, list(taken)

    return typed


def test_a_command_gets_its_settings_as_they_were_typed(call):
    words = ["--out", "x", "--sides", "5", "6", "--depth", "2", "--kind", "round", "--flat"]
    assert call(*words)[2] == [
        (Shape(sides=(5, 6), depth=2, kind="round", flat=True), Place(out=Path("x")))
    ]


def test_what_is_not_typed_has_the_fields_default_or_the_commands_own(call):
    assert call("--out", "x")[2] == [(Shape(kind="square"), Place(out=Path("x")))]


def test_help_is_said_by_the_fields(call):
    text = " ".join(call("--help")[1].split())
    assert "Draw it." in text
    assert "--out <path> Folder to make. [required]" in text
    assert "--sides ROWS COLUMNS Pixels. [default: 3, 4]" in text
    assert "--depth <int> Slices; one if not given." in text
    assert "--kind <round|square> `round` has no corners. [default: square]" in text
    assert "--flat Leave out the rest." in text
    assert "--no-flat" not in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "'--out'"),
        (["--out", "x", "--sides", "5"], "'--sides'"),
        (["--out", "x", "--depth", "deep"], "'--depth'"),
        (["--out", "x", "--kind", "oval"], "'--kind'"),
    ],
)
def test_what_cannot_be_read_is_named_and_nothing_is_done(call, words, said):
    code, text, taken = call(*words)
    assert code == 2
    assert said in text
    assert taken == []
