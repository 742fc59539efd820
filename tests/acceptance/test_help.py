"""What run_study.sh says of itself before anything is installed is what it says afterwards.

After a change of the command line: .venv/bin/python -m tests.acceptance.test_help
"""

import io
import os
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path
from unittest.mock import patch

import pytest

import data.__main__
import orchestrator.command_line

ROOT = Path(__file__).resolve().parents[2]
STORED = ROOT / "scripts" / "help.txt"
APPS = {
    "run_study.sh": orchestrator.command_line.app,
    data.__main__.PROGRAM: data.__main__.app,
}


def real_helps() -> dict[str, str]:
    """Of every command, as shown on a terminal of 80 columns or more."""
    helps = {}
    for program, app in APPS.items():
        names = [command.name or command.callback.__name__ for command in app.registered_commands]
        for words in ([], *([name] for name in names if name != "prepare")):
            with redirect_stdout(io.StringIO()) as shown, patch.dict(os.environ, COLUMNS="80"):
                app([*words, "--help"], prog_name=program, standalone_mode=False)
            helps[" ".join([program, *words])] = shown.getvalue()
    return helps


def asked(*arguments, **options):
    """run_study.sh where nothing is installed, and where nothing could be."""
    return subprocess.run(
        ["/bin/bash", ROOT / "run_study.sh", *arguments],
        capture_output=True, text=True, env={"TOMOSTUDY_VENV": "/dev/null/none"}, **options,
    )  # fmt: skip


def installed(*arguments):
    """The command line itself."""
    return subprocess.run(
        [sys.executable, "-m", "orchestrator", *arguments],
        cwd=ROOT, capture_output=True, text=True, env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip


def test_the_stored_help_is_the_command_lines_own():
    assert STORED.read_text(encoding="utf-8") == "".join(real_helps().values()), __doc__


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_every_commands_help_is_shown_before_anything_is_installed(option):
    for command, text in real_helps().items():
        shown = asked(*command.split()[1:], option)
        assert (shown.returncode, shown.stdout, shown.stderr) == (0, text, "")


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["--study_name", "x", "--help"], "run_study.sh run"),
        (["status", "--study_name", "x", "-h"], "run_study.sh status"),
        (["--help", "status"], "run_study.sh"),
    ],
)
def test_help_may_be_asked_for_anywhere_in_a_line(arguments, command):
    assert asked(*arguments).stdout == real_helps()[command]
    assert installed(*arguments).stdout == real_helps()[command]


@pytest.mark.parametrize(
    ("arguments", "command"), [([], "run_study.sh"), (["prepare"], data.__main__.PROGRAM)]
)
def test_asked_for_nothing_it_shows_its_help_as_an_error(arguments, command):
    shown = asked(*arguments)
    assert (shown.returncode, shown.stdout, shown.stderr) == (2, "", real_helps()[command])
    real = installed(*arguments)
    assert (real.returncode, real.stdout, real.stderr.rstrip()) == (2, "", shown.stderr.rstrip())


def test_the_version_is_the_same_before_and_after_the_installation():
    before = asked("--version")
    after = installed("--version")
    assert before.stdout == after.stdout
    assert before.stdout.startswith("tomostudy ")
    assert (before.returncode, after.returncode) == (0, 0)


@pytest.mark.parametrize("arguments", [["unheard_of", "--help"], ["status", "--study_name", "x"]])
def test_what_it_cannot_answer_it_sets_up_for(arguments):
    assert "/dev/null" in asked(*arguments).stderr


if __name__ == "__main__":
    STORED.write_text("".join(real_helps().values()), encoding="utf-8")
