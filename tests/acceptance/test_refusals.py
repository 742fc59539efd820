"""Mistakes get one sentence that helps, the right exit code, and leave nothing behind."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys

import pytest

from tests.studio import ROOT, finish


def assert_refused(studio, code, output, *words, expected=2):
    assert code == expected, output
    assert "Traceback" not in output
    for word in words:
        assert word in output
    assert not studio.processes()


def test_a_misspelt_family_key_names_the_file_and_the_nearest_key(studio):
    studio.change(recipe={"widht": 3})
    code, output = studio.run()
    assert_refused(studio, code, output, "preset.yml", "recipe.widht", "width")
    assert not studio.folder.path.exists()


def test_a_value_out_of_range_is_refused_before_anything_is_written(inside):
    inside.preset["search"]["batch_size"] = {"choices": [4, 0]}
    code, output = inside.run()
    assert_refused(inside, code, output, "search.batch_size", "0")
    assert not inside.folder.path.exists()


def test_a_search_with_points_that_the_family_refuses_is_refused_before_anything_is_written(inside):
    inside.preset["search"]["width"] = {"low": 2, "high": 6}
    inside.change(recipe={"refused_width": 4})
    code, output = inside.run()
    assert_refused(inside, code, output, "width=4", "cannot be", "points drawn")
    assert not inside.folder.path.exists()


def test_an_unknown_metric_is_refused_with_those_there_are(inside):
    inside.change(objective={"metric": "sharpness"})
    code, output = inside.run()
    assert_refused(inside, code, output, "objective.metric", "error", "psnr")


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "", "a b", "-x", "x" * 200])
def test_a_study_name_cannot_lead_out_of_the_folder(studio, name):
    studio.name = name
    code, output = finish(studio.start_command(["run", f"--study_name={name}"]))
    assert_refused(studio, code, output, "--study_name")


def test_a_second_orchestrator_is_refused_with_code_3_and_told_who_is_first(studio):
    studio.change(recipe={"step_seconds": 0.5, "epochs": 10})
    first = studio.start()
    studio.wait_for_event(0, "started")
    code, output = studio.run()
    assert code == 3
    assert str(first.pid) in output
    first.terminate()
    finish(first)


def test_another_meaning_is_refused_and_named_and_a_harmless_change_is_taken(finished, launcher):
    finished.launcher = launcher
    code, output = finished.run("--set", "recipe.epochs=3")
    assert_refused(finished, code, output, "recipe.epochs", "2", "3")
    code, output = finished.run("--set", "keep.best_trials=2", "--n_trials", "4")
    assert code == 0
    assert "keep.best_trials" in output


def test_the_name_alone_goes_on_with_a_study_begun_with_options(inside, studio):
    inside.run("--n_trials", "1", "--set", "recipe.epochs=1")
    code, output = finish(studio.start_command(["run", *studio.where, "--n-trials=2"]))
    assert code == 0, output
    assert len(studio.trials()) == 2


def test_an_unknown_study_is_no_traceback(studio):
    for command in (["status"], ["export", "--out", "best"], ["visualize"], ["dashboard"]):
        code, output = studio.command(*command)
        assert_refused(studio, code, output, "x")


def test_data_that_vanish_stop_the_study_and_lose_no_trial(inside):
    inside.change(n_trials=3, recipe={"user_error_at_step": 3})
    code, output = inside.run()
    assert code == 1
    assert "the toy's file ended" in output
    assert "Traceback" not in output
    assert inside.states() == ["RUNNING"]


def test_a_full_disk_lets_the_study_pause_and_room_lets_it_go_on_by_itself(studio, tmp_path):
    runs = tmp_path / "runs"
    runs.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(runs)], capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("a small file system can only be mounted by root")
    try:
        studio.change(n_trials=3, recipe={"epochs": 3, "width": 64}, data={"size": 8})
        (runs / "ballast").write_bytes(bytes(500_000))
        run = studio.start()
        told = itertools.takewhile(lambda line: "pauses" not in line, run.stdout)
        assert "Traceback" not in "".join(told)
        assert run.poll() is None
        (runs / "ballast").unlink()
        subprocess.run(["mount", "-o", "remount,size=128m", str(runs)], check=True)
        code, output = finish(run)
        assert code == 0, output
        assert "Traceback" not in output
        assert "there is room again" in output
        assert set(studio.states()) == {"COMPLETE"}
        assert len(studio.trials()) == 3
    finally:
        subprocess.run(["umount", "-l", str(runs)], check=True)


def test_no_command_waits_for_libraries_that_the_orchestrator_does_not_use():
    script = (
        "import sys, orchestrator.__main__, orchestrator.commands.run\n"
        "import orchestrator.commands.status, orchestrator.reporting.status_screen\n"
        "print(*sorted({'torch', 'scipy', 'sklearn', 'matplotlib'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    told = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True)
    assert (told.returncode, told.stdout) == (0, b"\n")


def test_dashes_in_option_names_are_as_good_as_underscores(inside):
    arguments = [a.replace("_", "-") if a.startswith("--") else a for a in inside.arguments()]
    code, output = inside.run_with([*arguments, "--n-trials", "1"])
    assert code == 0, output
