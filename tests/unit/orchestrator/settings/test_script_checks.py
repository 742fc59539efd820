"""What a study of a script cannot be is refused with file, key and a way out."""

import pytest

from orchestrator.settings.checks import check_with_family
from orchestrator.settings.layers import Layers, validate
from protocol.errors import SettingsError

PRESET = {
    "preset": "mine.yml",
    "family": "script",
    "script": {"command": "python train.py --lr {learning_rate} --seed {seed}", "workdir": "/"},
    "objective": {"metric": "psnr", "direction": "maximize"},
    "search": {"learning_rate": {"low": 1e-5, "high": 1e-2}},
}


def settings(**changes):
    layers = Layers()
    layers.add(PRESET | changes, "mine.yml")
    return validate(layers), layers


def checked(**changes):
    return check_with_family(*settings(**changes), None, lambda: None)


def refused(**changes):
    with pytest.raises(SettingsError) as caught:
        checked(**changes)
    return str(caught.value)


def script(**changes):
    return {"script": PRESET["script"] | changes}


def test_a_study_of_a_script_has_its_keys_and_its_objective_and_no_data():
    found = checked(recipe={"optimizer": "lion", "width": 32})
    assert found.metrics == {"psnr": "maximize"}
    assert found.space.recipe({"learning_rate": 1e-3}).given == {
        "optimizer": "lion",
        "width": 32,
        "learning_rate": 1e-3,
    }
    assert found.samples == {}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            script(command="python train.py --lr {learning_rat}"),
            "mine.yml: script.command: {learning_rat} is no key (did you mean 'learning_rate'?); "
            "known are learning_rate, folder, trial, seed, study, ranks\n"
            "mine.yml: search.learning_rate: is searched, but the command does not have it; write "
            "{learning_rate} where the script takes it",
        ),
        (
            {"search": {"seed": {"choices": [1, 2]}}},
            "mine.yml: search.seed: {seed} stands for the trial's seed; choose another name",
        ),
        (script(workdir="/no/such"), "mine.yml: script.workdir: there is no folder /no/such"),
        (
            script(command="no-such-program {learning_rate}"),
            "mine.yml: script.command: there is no program 'no-such-program'; expected one on the "
            "PATH, or its path, such as /home/me/envs/mine/bin/python",
        ),
        (
            script(command="./train.sh {learning_rate}"),
            "mine.yml: script.command: /train.sh is no program that can be run",
        ),
        (
            {"folds": 5},
            "mine.yml: folds: is out of reach where the script trains by itself; expected 1",
        ),
        (
            {"limits": {"memory_gb": 4}},
            "mine.yml: limits.memory_gb: is out of reach where the script trains by itself; "
            "expected nothing",
        ),
        (
            {"data": {"root": "/data"}},
            "mine.yml: data: the script knows its data itself; write what it needs into the "
            "command",
        ),
        (
            {"parallel": {"kind": "model", "stages": 2}},
            "mine.yml: parallel.kind: found 'model', but nobody here can cut the script's model; "
            "expected ddp, and how many processes as `ranks`",
        ),
        (
            {"pruner": {"kind": "hyperband"}},
            "mine.yml: pruner.max_resource: missing; hyperband needs to know how many epochs a "
            "trial has at most, which `recipe: {epochs: 30}` would say as well",
        ),
    ],
)
def test_what_cannot_be_is_told_under_its_key(changes, told):
    assert told in refused(**changes)


def test_family_and_section_belong_together():
    from orchestrator.settings.checks import check_at_once

    with pytest.raises(SettingsError, match=r"mine\.yml: script: missing; expected what"):
        check_at_once(*settings(script=None))
    with pytest.raises(SettingsError, match=r"mine\.yml: family: found 'fbp_window' beside"):
        check_at_once(*settings(family="fbp_window"))
    check_at_once(*settings(recipe={"optimizer": "lion"}))


def test_what_people_should_know_is_said():
    resume, seed = checked(**script(command="python train.py {learning_rate}")).remarks
    assert resume.startswith("script.resume is not set: a trial that is interrupted begins anew")
    assert seed.startswith("the command has no {seed}")
    assert checked(**script(resume="--resume {folder}/last.ckpt")).remarks == []


def test_a_program_of_the_projects_own_is_looked_for_in_its_folder(tmp_path):
    program = tmp_path / "train.sh"
    program.write_text("#!/bin/sh\n")
    given = script(command="./train.sh {learning_rate}", workdir=str(tmp_path))
    assert "is no program that can be run" in refused(**given)
    program.chmod(0o755)
    checked(**given)


def test_the_folder_is_seen_from_the_file_that_names_it(tmp_path, monkeypatch):
    from orchestrator.settings.layers import Asked, load_settings

    preset, config = tmp_path / "studies" / "mine.yml", tmp_path / "config.yml"
    preset.parent.mkdir()
    config.write_text("{}\n")
    preset.write_text(
        "family: script\nscript: {command: 'x {a}', workdir: ../project}\n"
        "objective: {metric: m, direction: maximize}\nsearch: {a: {choices: [1]}}\n"
    )
    monkeypatch.chdir("/")
    found, _ = load_settings(Asked(preset=str(preset), config=str(config)))
    assert found.script.workdir == str(tmp_path / "project")
