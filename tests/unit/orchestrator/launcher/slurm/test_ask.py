import subprocess
import sys
from unittest import mock

import pytest

from orchestrator.launcher.slurm.ask import Away, Refused, ask, number_of


def program(text: str) -> tuple[str, ...]:
    return (sys.executable, "-c", text)


def test_the_answer_is_what_is_printed():
    assert ask(*program("print('a|b')")) == "a|b\n"


@pytest.mark.parametrize(
    "said",
    [
        "slurm_load_jobs error: Unable to contact slurm controller (connect failure)",
        "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation",
        "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying",
        "slurm_load_jobs error: Slurm backup controller in standby mode",
        "slurm_load_jobs error: Zero Bytes were transmitted or received",
    ],
)
def test_a_controller_that_cannot_answer_is_away(said):
    with pytest.raises(Away, match=said[-20:].replace("(", r"\(").replace(")", r"\)")):
        ask(*program(f"import sys; sys.exit({said!r})"))


def test_no_is_told_in_slurms_words():
    with pytest.raises(Refused, match=r"^Invalid job id specified$"):
        ask(*program("import sys; sys.exit('Invalid job id specified')"))
    with pytest.raises(Refused, match="left with code 3"):
        ask(*program("import sys; sys.exit(3)"))


def test_a_machine_without_slurm_is_no_machine_of_a_cluster():
    with pytest.raises(Refused, match="there is no squeue-of-nobody here"):
        ask("squeue-of-nobody")


@pytest.mark.parametrize(
    "error", [subprocess.TimeoutExpired("squeue", 60), BlockingIOError(11, "no process more")]
)
def test_what_could_not_be_asked_may_be_asked_again(error):
    with mock.patch("subprocess.run", side_effect=error), pytest.raises(Away):
        ask("squeue")


def test_what_slurm_tells_a_job_is_not_passed_on(monkeypatch):
    for name in ("SLURM_JOB_ID", "SLURM_CPUS_PER_TASK", "TOMOSTUDY_DETACHED"):
        monkeypatch.setenv(name, "7")
    monkeypatch.setenv("SLURM_CONF", "/a/slurm.conf")
    shown = ask(*program("import os; print(*sorted(os.environ))")).split()
    assert "SLURM_CONF" in shown
    assert not {"SLURM_JOB_ID", "SLURM_CPUS_PER_TASK", "TOMOSTUDY_DETACHED"} & set(shown)


@pytest.mark.parametrize(
    "told", ["42\n", "42;alpine\n", "--> checking 7 quotas... OK\n\n42\n", "42;alpine\nhave fun\n"]
)
def test_the_jobs_number_is_found_whatever_else_is_printed(told):
    assert number_of(told) == "42"


@pytest.mark.parametrize("told", ["", "thank you\n"])
def test_an_answer_without_a_number_leaves_it_open_whether_there_is_a_job(told):
    with pytest.raises(Away, match="named no job"):
        number_of(told)
