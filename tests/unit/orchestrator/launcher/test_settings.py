import pytest
from pydantic import ValidationError

from orchestrator.launcher.settings import LauncherSettings, seconds_of
from orchestrator.settings.yaml import parse_yaml


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        (90, 5400),
        ("90", 5400),
        ("90:30", 5430),
        ("04:00:00", 14400),
        ("2-12", 216000),
        ("2-12:30", 217800),
        ("2-12:30:15", 217815),
    ],
)
def test_a_time_limit_is_read_as_sbatch_reads_it(time, seconds):
    assert seconds_of(time) == seconds


def test_hours_without_quotes_are_hours_in_our_files():
    assert parse_yaml("time: 12:00:00\n", "config.yml") == {"time": "12:00:00"}


@pytest.mark.parametrize("time", ["tomorrow", "1:2:3:4", "", "-5", "UNLIMITED", 0, "00:00"])
def test_what_is_no_time_limit_is_refused(time):
    with pytest.raises(ValidationError, match="no time"):
        LauncherSettings(kind="slurm", time=time)


def test_a_job_that_would_have_to_leave_as_soon_as_it_has_begun_is_refused():
    with pytest.raises(ValidationError, match="120 s before its end; expected a time of more"):
        LauncherSettings(kind="slurm", time=2)
    assert LauncherSettings(kind="slurm", time=2, signal_seconds=20).seconds == 120


@pytest.mark.parametrize(
    ("asked", "gpus"),
    [
        ({}, 0),
        ({"gres": "gpu"}, 1),
        ({"gres": "gpu:4"}, 4),
        ({"gres": "gpu:a100:4"}, 4),
        ({"gres": "gpu:a100"}, 1),
        ({"gres": "nvme:1,gpu:v100:2(S:0-1),gpu:1"}, 3),
        ({"gres": "gpu:4", "gpus_per_node": 2}, 2),
        ({"gpus_per_node": 0}, 0),
    ],
)
def test_the_gpus_of_a_node_are_counted(asked, gpus):
    assert LauncherSettings(kind="slurm", **asked).gpus == gpus
