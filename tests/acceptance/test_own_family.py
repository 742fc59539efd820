"""The family of docs/own_family.md, followed to the letter in a folder outside the project."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.contracts.cases import ROOT, follow_page, install_page
from tests.studio import Studio, finish
from worker.calls.show import evaluate


@pytest.fixture
def command(tmp_path):
    """Runs `./run_study.sh …` in a folder of the user's; its exit code and what it printed."""
    (tmp_path / "mine").mkdir()

    def run(*arguments, **environment):
        where = ("--study_name", "mine", "--runs_dir", str(tmp_path / "runs"))
        process = subprocess.Popen(
            [str(ROOT / "run_study.sh"), *arguments, *where],
            cwd=tmp_path / "mine",
            env={**os.environ, "TOMOSTUDY_VENV": sys.prefix, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return finish(process)

    return run


def test_a_family_in_a_file_is_searched_resumed_drawn_and_exported(command, tmp_path, launcher):
    mine = tmp_path / "mine"
    assert follow_page(mine).name == "denoise.yml"
    code, output = command("run", "--preset", "denoise.yml", "--set", "devices=cpu")
    assert code == 0, output
    assert "3 complete" in output
    studio = Studio(tmp_path, name="mine", launcher=launcher)
    code, output = studio.command("run", "--n_trials", "4")
    assert code == 0, output
    assert "4 of 4" in output
    code, output = studio.command("visualize", "--samples", "1")
    assert code == 0, output
    assert list((tmp_path / "runs" / "mine" / "best" / "pictures" / "test").glob("*.png"))
    code, output = command("export", "--out", "best")
    assert code == 0, output
    (mine / "denoise.py").rename(tmp_path / "gone.py")
    assert evaluate(mine / "best" / "best.pth")["mse"] < 0.04


def test_a_family_of_an_installed_package_is_searched_by_its_name(command, tmp_path):
    preset = follow_page(tmp_path / "mine")
    preset.write_text(preset.read_text().replace("denoise.py:Denoise", "denoise"))
    (tmp_path / "mine" / "denoise.py").unlink()
    install_page(tmp_path / "packages")
    options = ("run", "--preset", "denoise.yml", "--set", "devices=cpu", "--n_trials", "1")
    code, output = command(*options, PYTHONPATH=str(tmp_path / "packages"))
    assert code == 0, output
    log = (tmp_path / "runs" / "mine" / "forkserver.log").read_text()
    assert "Error" not in log


def test_a_mistake_in_a_family_file_is_one_sentence_with_its_line(command, tmp_path):
    follow_page(tmp_path / "mine")
    with (tmp_path / "mine" / "denoise.py").open("a") as file:
        file.write("import not_installed\n")
    code, output = command("run", "--preset", "denoise.yml", "--set", "devices=cpu")
    assert code == 2
    assert "denoise.yml: family: " in output
    assert "denoise.py cannot be imported: ModuleNotFoundError" in output
    assert "Traceback" not in output
    assert not (tmp_path / "runs" / "mine").exists()
