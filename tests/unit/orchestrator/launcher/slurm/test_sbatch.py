import sys
from unittest import mock

import pytest

from orchestrator.launcher.settings import LauncherSettings
from orchestrator.launcher.slurm import sbatch as module
from orchestrator.launcher.slurm.ask import Away, Refused
from orchestrator.launcher.slurm.sbatch import program, refusal, submit
from protocol.errors import SettingsError


@pytest.fixture
def answers(monkeypatch):
    """sbatch's answers, one after the other; submitit finds an srun."""
    answers = ["42\n"]

    def ask(*command):
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(module, "ask", ask)
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    return answers


def submitted(folder, failed=frozenset(), **settings) -> tuple[str, list[str]]:
    launcher = LauncherSettings(kind="slurm", **settings)
    number = submit(
        folder, ["a program", "x"], name="x.0", launcher=launcher, processes=3, exclude=failed
    )
    return number, (folder / "job.sh").read_text().splitlines()


def test_the_script_asks_for_what_the_settings_say_by_sbatchs_names(answers, tmp_path):
    number, script = submitted(
        tmp_path,
        nodes=2,
        time="04:00:00",
        partition="gpu",
        gres="gpu:a100:4",
        mem_gb=1.5,
        setup=["module load cuda/12"],
        options={"mail_type": "END", "no_kill": True},
        exclude="n7",
    )
    assert number == "42"
    wanted = {
        "#SBATCH --job-name=x.0",
        "#SBATCH --nodes=2",
        "#SBATCH --ntasks-per-node=1",
        "#SBATCH --cpus-per-task=3",
        "#SBATCH --time=04:00:00",
        "#SBATCH --partition=gpu",
        "#SBATCH --gres=gpu:a100:4",
        "#SBATCH --mem=1536M",
        "#SBATCH --exclude=n7",
        "#SBATCH --signal=USR2@120",
        "#SBATCH --mail-type=END",
        "#SBATCH --no-kill",
        "#SBATCH --no-requeue",
        "module load cuda/12",
    }
    assert wanted - set(script) == set()
    (line,) = [line for line in script if line.startswith("srun ")]
    assert line.endswith("'a program' x")
    assert "--cpus-per-task=3" in line
    sees = script.index(f"test -e {tmp_path}/job.json || exit 77")
    assert sees < script.index("module load cuda/12")


def test_what_is_not_asked_for_is_left_to_slurm(answers, tmp_path):
    _, script = submitted(tmp_path)
    options = {line.split("=")[0] for line in script}
    for name in ("time", "partition", "mem", "account", "wckey", "gpus-per-node", "exclude"):
        assert f"#SBATCH --{name}" not in options


def test_nodes_that_failed_are_left_out_unless_that_is_refused(answers, tmp_path):
    _, script = submitted(tmp_path, failed=frozenset({"n2", "n1"}))
    assert "#SBATCH --exclude=n1,n2" in script


def test_without_a_node_left_those_that_failed_are_taken_again(answers, tmp_path):
    answers[:] = [Refused("sbatch: error: Requested node configuration is not available"), "43\n"]
    number, script = submitted(tmp_path, failed=frozenset({"n1"}))
    assert number == "43"
    assert not any("--exclude" in line for line in script)


def test_an_unclear_answer_is_no_refusal(answers, tmp_path):
    answers[:] = [Away("Socket timed out")]
    with pytest.raises(Away):
        submitted(tmp_path)


@pytest.mark.parametrize(
    ("said", "key"),
    [
        ("invalid partition specified: nowhere", "partition"),
        ("Invalid account or account/partition combination specified", "partition"),
        ("Invalid qos specification", "qos"),
        ("Requested time limit is invalid (missing or exceeds some limit)", "time"),
        ("Memory specification can not be satisfied", "mem_gb"),
        ("Invalid feature specification", "constraint"),
        ("Invalid generic resource (gres) specification", "gpus_per_node"),
        ("CPU count per node can not be satisfied", "cpus_per_task"),
        ("Requested node configuration is not available", "nodes"),
        ("something new", "kind"),
    ],
)
def test_a_refusal_is_slurms_words_with_the_key_that_they_mean(said, key):
    error = refusal(Refused(f"sbatch: error: Batch job submission failed: {said}"))
    assert str(error).endswith(f"sbatch refuses: {said}")
    assert error.key == f"launcher.{key}"


def test_a_machine_without_srun_is_none_of_a_cluster(answers, tmp_path):
    with (
        mock.patch.object(module, "SlurmExecutor", side_effect=RuntimeError("no srun")),
        pytest.raises(SettingsError, match="expected local, or a machine of a cluster"),
    ):
        submitted(tmp_path)


def test_nodes_run_this_interpreter_on_this_source(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/more")
    environment, paths, *rest = program("a.module", "x")
    assert environment == "env"
    assert paths.startswith("PYTHONPATH=")
    assert paths.endswith(":/more")
    assert rest == [sys.executable, "-P", "-m", "a.module", "x"]
