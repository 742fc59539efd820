"""By what an editor completes and checks a file of settings."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from orchestrator.settings.yaml import read_mapping
from scripts.settings_schema import FILE, text

ROOT = FILE.parents[1]
PRESETS = sorted(FILE.parent.glob("*.yml"))


@pytest.fixture(scope="module")
def validator():
    schema = json.loads(FILE.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_the_file_is_what_the_settings_are_now():
    assert FILE.read_text(encoding="utf-8") == text(), "run: python -m scripts.settings_schema"


@pytest.mark.parametrize("preset", [*PRESETS, ROOT / "config.yml"], ids=lambda path: path.stem)
def test_every_preset_names_it_and_agrees_with_it(preset, validator):
    first = preset.read_text(encoding="utf-8").splitlines()[0]
    _, _, named = first.partition("# yaml-language-server: $schema=")
    assert (preset.parent / named).resolve() == FILE
    wrong = [
        f"{error.json_path}: {error.message}"
        for error in validator.iter_errors(read_mapping(preset))
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"n_trial": 5}, "$"),
        ({"n_trials": "many"}, "$.n_trials"),
        ({"recipe": {"epoch": 3}}, "$.recipe"),
        ({"recipe": {"epochs": 0}}, "$.recipe.epochs"),
        ({"data": {"rot": "x"}}, "$.data"),
        ({"search": {"learning_rates": {"low": 1, "high": 2}}}, "$.search"),
        ({"launcher": {"kind": "ssh"}}, "$.launcher.kind"),
    ],
    ids=str,
)
def test_what_the_program_refuses_is_marked_where_it_stands(changes, where, validator):
    settings = read_mapping(ROOT / "studies" / "fbp_unet.yml") | changes
    assert where in [error.json_path for error in validator.iter_errors(settings)]


def test_families_that_are_installed_elsewhere_may_have_any_keys(validator):
    settings = {"family": "mine.py:Mine", "recipe": {"own": 1}, "search": {"own": {"choices": [1]}}}
    assert validator.is_valid(settings)


def test_it_is_printed_for_editors_that_keep_it_elsewhere():
    program = [sys.executable, "-P", "-m", "orchestrator", "schema"]
    done = subprocess.run(program, capture_output=True, text=True, cwd=Path.home(), check=True)
    assert json.loads(done.stdout) == json.loads(FILE.read_text(encoding="utf-8"))
