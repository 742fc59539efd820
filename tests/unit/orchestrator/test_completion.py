import os
import subprocess
import sys

import pytest

from orchestrator.completion import PROGRAMS, VARIABLE, Shell, install, scripts
from tests.made_study import MadeStudy


def offered(typed, shell="bash"):
    """What a shell is told that has these words, the last of them to be completed."""
    told = {VARIABLE: f"complete_{shell}", "COMP_WORDS": typed, "_TYPER_COMPLETE_ARGS": typed}
    told["COMP_CWORD"] = str(typed.count(" "))
    program = [sys.executable, "-m", "orchestrator"]
    done = subprocess.run(program, env=os.environ | told, capture_output=True, text=True)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("./run_study.sh conf", ["confirm"]),
        ("./run_study.sh --study", ["--study_name"]),
        ("./run_study.sh run --study_name x --rest", ["--restart"]),
        ("./run_study.sh status --js", ["--json"]),
        ("./run_study.sh --preset fbp_u", ["fbp_unet", "fbp_unet_tiny"]),
        ("/a/place/of/mine/run_study.sh --preset fbp_u", ["fbp_unet", "fbp_unet_tiny"]),
    ],
)
def test_commands_options_and_presets_are_completed(typed, expected):
    assert sorted(offered(typed)) == expected


def test_the_studies_of_the_named_folder_are_completed(tmp_path):
    made = MadeStudy(tmp_path)
    (made.folder.path / "study.yml").touch()
    typed = f"tomostudy status --runs_dir {tmp_path} --study_name "
    assert offered(typed) == [made.folder.name]


def test_other_shells_are_told_what_options_are_for():
    (told,) = [" ".join(offered("run_study.sh --pres", shell="zsh"))]
    assert '"--preset":"A name in studies/, or a .yml file."' in told


def test_bash_asks_by_any_path_to_the_program():
    script = (
        scripts(Shell.BASH)
        + "\nfor program in run_study.sh tomostudy; do complete -p $program; done"
    )
    done = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("complete -o default") == len(PROGRAMS)


def test_it_is_installed_where_the_shell_looks_as_it_starts(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".bashrc").write_text("alias of=mine\n")
    paths = list(install(Shell.BASH))
    assert [path.is_relative_to(tmp_path) for path in paths] == [True, True]
    begun = (tmp_path / ".bashrc").read_text()
    assert begun.startswith("alias of=mine\n")
    assert all(str(path) in begun for path in paths)
