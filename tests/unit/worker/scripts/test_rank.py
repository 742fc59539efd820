"""With which arguments a command goes on."""

import os

from protocol.script import Reports, ScriptPlan
from worker.scripts.rank import resuming


def script(folder, *resume):
    return ScriptPlan(
        command=["x"],
        workdir="/",
        folder=str(folder),
        launch="plain",
        report=Reports(),
        resume=list(resume),
    )


def test_it_goes_on_from_the_file_that_is_named_if_that_is_there(tmp_path):
    wanted = script(tmp_path, "--resume", f"{tmp_path}/last.ckpt")
    assert list(resuming(wanted, 1)) == []
    (tmp_path / "last.ckpt").touch()
    assert list(resuming(wanted, 1)) == ["--resume", f"{tmp_path}/last.ckpt"]


def test_a_first_attempt_goes_on_from_nothing(tmp_path):
    (tmp_path / "last.ckpt").touch()
    assert list(resuming(script(tmp_path, f"{tmp_path}/last.ckpt"), 0)) == []


def test_of_a_pattern_the_latest_file_is_taken_and_what_stands_before_it_stays(tmp_path):
    for age, name in enumerate(("epoch=9.ckpt", "epoch=10.ckpt")):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (1000 + age, 1000 + age))
    wanted = script(tmp_path, f"--ckpt_path={tmp_path}/epoch=*.ckpt")
    assert list(resuming(wanted, 2)) == [f"--ckpt_path={tmp_path}/epoch=10.ckpt"]


def test_an_argument_without_a_file_is_added_whenever_it_goes_on(tmp_path):
    assert list(resuming(script(tmp_path, "--auto_resume"), 1)) == ["--auto_resume"]
