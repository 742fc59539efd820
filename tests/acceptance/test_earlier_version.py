"""What version 0.1.0 left is gone on with: a study killed in its second trial, and an export.

`begun_before/` was made by that version: the toy's study with two ranks, its database as SQL, and
what the same study came to there without a kill.
"""

import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import models.family
from protocol.errors import UserError
from tests.studio import ROOT, Studio
from worker.calls.show import load_model

MADE = Path(__file__).parent / "begun_before"
OWN = MADE / "exported"  # where the family lies, written for that version
TEXTS = ("*.yml", "*.json")


@pytest.fixture
def begun(tmp_path, launcher):
    """A studio in which the earlier version's study lies."""
    studio = Studio(tmp_path, launcher=launcher)
    folder = studio.folder.path
    shutil.copytree(MADE / "x", folder, symlinks=True)
    shutil.copy(MADE / "preset.yml", tmp_path)
    (tmp_path / "config.yml").write_text("{}\n")
    for pattern in TEXTS:
        for file in tmp_path.rglob(pattern):
            text = file.read_text().replace("{place}", str(tmp_path))
            file.write_text(text.replace("{families}", str(OWN)))
    with sqlite3.connect(studio.folder.database) as database:
        database.executescript((folder / "study.sql").read_text())
    return studio


def test_a_study_that_was_begun_before_goes_on_to_what_it_would_have_come_to(begun):
    code, output = begun.run_with(["run", *begun.where])
    assert code == 0, output
    expected = json.loads((MADE / "expected.json").read_text())
    for trial, known in zip(begun.trials(), expected, strict=True):
        epochs = {int(epoch): value for epoch, value in known["epochs"].items()}
        # Made on a processor with other instructions, whose sums end in other bits.
        assert trial.params == pytest.approx(known["params"], rel=1e-4)
        assert trial.value == pytest.approx(known["value"], rel=1e-4)
        assert trial.intermediate_values == pytest.approx(epochs, rel=1e-4)
    assert begun.trials()[1].user_attrs["attempts"] == 2
    assert "changed since the last run" not in output


def test_a_trial_that_ended_before_is_judged_as_it_was(begun, capsys):
    trial = begun.trial(0)
    shutil.copy(OWN / "toy.py", trial.path)  # the checkpoint's own place for it is gone
    code, output = begun.run_with(["evaluate", *begun.where, "--trial", "0", "--split", "val"])
    assert code == 0, output
    found = json.loads(trial.evaluation.read_text())["validation"]
    (scores,) = (group["scores"] for group in found["groups"].values())
    told = json.loads(trial.outcome.read_text())["metrics"]
    assert scores["error"]["mean"] == pytest.approx(told["error"], rel=1e-5)


def test_an_export_that_was_made_before_is_loaded(tmp_path):
    folder = shutil.copytree(OWN, tmp_path / "exported")
    family, model = load_model(folder / "best.pth")
    assert type(family).__name__ == "Toy"
    assert sum(parameter.numel() for parameter in model.parameters()) == 77


def test_the_import_that_an_earlier_exports_readme_names_says_what_it_is_now():
    line = "from orchestrator.worker.show import load_model"
    assert line in (MADE / "exported" / "README.md").read_text()
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, cwd=ROOT)
    assert done.stderr.strip().endswith("from worker.calls.show import load_model")


def test_a_family_that_was_written_before_finds_the_errors_and_volumes_it_imports():
    from models.inference import Volume
    from orchestrator.errors import DataError

    assert issubclass(DataError, UserError)
    assert Volume is models.family.Volume


def test_what_was_found_before_is_reported(begun):
    code, output = begun.run_with(["report", *begun.where])
    assert code == 0, output
    page = begun.folder.report.read_text()
    assert "A search for the lowest error: 2 trials" in page
    assert "Best: trial 0, error" in page
    assert "could not be drawn" not in page
