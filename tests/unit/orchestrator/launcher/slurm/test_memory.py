import pytest

from orchestrator.launcher.slurm.memory import kills_for_memory

JOB = "system.slice/slurmstepd.scope/job_7/step_0/user/task_0"


@pytest.fixture
def groups(tmp_path):
    def count(place, kills, name="memory.events"):
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        (tmp_path / place / name).write_text(f"low 0\noom 9\noom_kill {kills}\noom_group_kill 0\n")

    return count


def kills(tmp_path, membership):
    (tmp_path / "self").write_text(membership)
    return kills_for_memory(tmp_path / "self", tmp_path)


def test_kills_are_counted_in_the_process_group_and_up_to_the_jobs(tmp_path, groups):
    groups(JOB, 0)
    assert kills(tmp_path, f"0::/{JOB}\n") == 0
    groups("system.slice/slurmstepd.scope/job_7", 2)
    groups("system.slice", 50)
    assert kills(tmp_path, f"0::/{JOB}\n") == 2, "those of other jobs are none of ours"


def test_outside_a_job_only_the_own_group_counts(tmp_path, groups):
    groups("user.slice/a", 1)
    groups("user.slice", 5)
    assert kills(tmp_path, "0::/user.slice/a\n") == 1


def test_the_first_version_of_control_groups_counts_elsewhere(tmp_path, groups):
    groups("memory/slurm/uid_1/job_7/step_0", 3, "memory.oom_control")
    told = "11:cpu,cpuacct:/x\n7:memory:/slurm/uid_1/job_7/step_0\n1:name=systemd:/\n"
    assert kills(tmp_path, told) == 3


def test_where_nothing_counts_there_were_none(tmp_path):
    assert kills(tmp_path, "0::/nowhere\n") == 0
    assert kills_for_memory(tmp_path / "missing", tmp_path) == 0
