"""The pool of jobs and its attempts, over a Slurm that answers as it is told."""

import itertools
import json
import threading
import time
from unittest import mock

import pytest

from orchestrator.launcher.base import Cause
from orchestrator.launcher.settings import LauncherSettings
from orchestrator.launcher.slurm import controller, pool, sbatch, squeue
from orchestrator.launcher.slurm import launcher as module
from orchestrator.launcher.slurm.ask import Away, Refused
from orchestrator.launcher.slurm.launcher import SlurmLauncher
from orchestrator.launcher.slurm.pool import ENDED
from protocol.errors import SettingsError, UserError
from protocol.folders import JobFolder, TrialFolder
from protocol.letters import post, read
from protocol.messages import Plan, save_plan
from protocol.objective import Objective

WELL = {"codes": {"0": 0}, "first": None, "hung": None, "vanished": False, "word": ""}
WELL |= {"left": None, "memory": False}


class Slurm:
    """squeue, scontrol, sbatch and scancel."""

    def __init__(self):
        self.numbers = itertools.count(100)
        self.jobs = {}  # number: [name, state]
        self.submitted = []
        self.cancelled = []
        self.refuses = None  # what sbatch says
        self.takes = True  # and whether it takes the job nonetheless
        self.hold = None

    def ask(self, program, *arguments):
        if program == "squeue":
            lines = (
                f"{number}|{state}|None|n1|1:00:00|{name}\n"
                for number, (name, state) in list(self.jobs.items())
            )
            return "".join(lines)
        if program == "sbatch":
            return self._sbatch()
        if program == "scancel":
            for number in arguments[1:]:
                self.cancelled.append(number)
                self.jobs[number][1] = "CANCELLED"
            return ""
        raise Refused("Invalid job id specified")

    def script(self, folder, command, asked, options):
        self.asked = asked
        return asked["job_name"]

    def _sbatch(self):
        if self.hold is not None:
            self.hold.wait(5)
        name, excluded = self.asked["job_name"], self.asked["exclude"]
        self.submitted.append((name, excluded))
        refusal = self.refuses(excluded) if callable(self.refuses) else self.refuses
        if refusal is None or (isinstance(refusal, Away) and self.takes):
            number = str(next(self.numbers))
            self.jobs[number] = [name, "PENDING"]
        if refusal is not None:
            raise refusal
        return f"{number}\n"

    def set(self, number, state):
        self.jobs[number][1] = state


@pytest.fixture
def slurm(monkeypatch):
    slurm = Slurm()
    for place in (squeue, controller, sbatch, pool):
        monkeypatch.setattr(place, "ask", slurm.ask)
    monkeypatch.setattr(sbatch, "script_of", slurm.script)
    monkeypatch.setattr(controller, "_LEAST_SECONDS", 0.0)
    monkeypatch.setattr(controller, "_SHARE", 0)
    for place in (module, pool):
        monkeypatch.setattr(place, "STEP_SECONDS", 0.005)
    return slurm


@pytest.fixture
def opened(tmp_path, slurm):
    """Opens a launcher; an earlier one is forgotten, as by a kill."""
    launchers = []

    def opens(**settings):
        launcher = SlurmLauncher(
            jobs=tmp_path / "jobs",
            launcher=LauncherSettings(kind="slurm", **settings),
            name=lambda number: f"x.{number}",
            family="toy",
            stages=1,
            processes=1,
            local=mock.Mock(),
            say=launchers.append,
        )
        launcher.said = launchers
        return launcher

    return opens


@pytest.fixture
def trial(tmp_path):
    def made(number, attempt=0):
        folder = TrialFolder(tmp_path / f"trial_{number}")
        folder.path.mkdir(exist_ok=True)
        plan = Plan(
            study="x",
            trial=number,
            attempt=attempt,
            seed=1,
            family="toy",
            recipe={},
            data={},
            objective=Objective(metric="error", direction="minimize"),
            devices=["cpu"],
            threads=1,
        )
        save_plan(folder, plan)
        return folder, plan

    return made


def until(condition, *launchers, seconds=5.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        for launcher in launchers:
            launcher.step(now=True)
        time.sleep(0.005)


def begin(slurm, job):
    slurm.set(job.id, "RUNNING")
    post(job.folder.began(0), {"host": "n1", "pid": 7})


def working(launcher, slurm, folder, plan):
    """An attempt that has been given to a job."""
    attempt = launcher.launch(folder, plan)
    until(lambda: launcher.jobs and launcher.jobs[0].id, launcher)
    begin(slurm, launcher.jobs[0])
    until(lambda: attempt.job is not None, launcher)
    return attempt


def test_a_job_takes_the_next_trial_when_one_has_ended(opened, slurm, trial):
    launcher = opened(jobs=1)
    first = working(launcher, slurm, *trial(0))
    second = launcher.launch(*trial(1))
    until(lambda: second.place.startswith("waits"), launcher)
    post(first.job.folder.exit(0, 0), WELL)
    until(lambda: first.poll() is not None)
    until(lambda: second.job is first.job, launcher)
    assert [name for name, _ in slurm.submitted] == ["x.0"]
    letter = read(first.job.folder.order(1))
    assert letter == {"folder": str(trial(1)[0].path), "attempt": 0}


def test_there_are_never_more_jobs_than_were_asked_for(opened, slurm, trial):
    launcher = opened(jobs=2)
    attempts = [launcher.launch(*trial(number)) for number in range(5)]
    until(lambda: len(slurm.submitted) == 2, launcher)
    for _ in range(20):
        launcher.step(now=True)
    assert len(launcher.jobs) == 2
    assert all(attempt.waits for attempt in attempts)


def test_a_running_trial_is_taken_up_by_the_next_orchestrator(opened, slurm, trial):
    folder, plan = trial(0)
    working(opened(), slurm, folder, plan)
    launcher = opened()
    attempt = launcher.take_up(folder)
    assert attempt.poll() is None
    post(attempt.job.folder.exit(0, 0), WELL)
    until(lambda: attempt.poll() is not None)
    assert attempt.poll().codes == {0: 0}
    assert launcher._seconds == [], "how long it took is not known"


def test_a_record_without_its_order_is_no_running_trial(opened, slurm, trial):
    """A kill came between the two, and the order's number went to another trial."""
    launcher = opened()
    other = working(launcher, slurm, *trial(1))
    folder, _ = trial(0)
    record = {"attempt": 0, "job": other.job.folder.number, "order": 0}
    folder.attempt.write_text(json.dumps(record))
    assert launcher.take_up(folder) is None
    assert launcher.sweep(folder) == 0
    assert other.poll() is None


def test_an_order_of_an_earlier_attempt_is_not_taken_for_the_latest(opened, slurm, trial):
    folder, plan = trial(0)
    working(opened(), slurm, folder, plan)
    trial(0, attempt=1)  # and killed before it was launched
    assert opened().take_up(folder) is None


def test_sweeping_ends_what_is_still_at_work_and_learns_no_times(opened, slurm, trial):
    launcher = opened()
    folder, plan = trial(0)
    attempt = working(launcher, slurm, folder, plan)
    job = attempt.job

    def member():
        until(lambda: job.folder.kill(0).exists())
        post(job.folder.exit(0, 0), WELL)

    thread = threading.Thread(target=member)
    thread.start()
    assert launcher.sweep(folder) == 1
    thread.join()
    assert launcher.sweep(folder) == 0
    assert launcher._seconds == []
    until(lambda: slurm.cancelled == [job.id], launcher)


def test_a_submission_without_an_answer_is_looked_for_by_its_name(opened, slurm, trial):
    launcher = opened()
    slurm.refuses = Away("Socket timed out")
    launcher.launch(*trial(0))
    until(lambda: launcher.jobs and launcher.jobs[0].id, launcher)
    assert launcher.jobs[0].folder.id.read_text() == "100\n"
    assert len(slurm.submitted) == 1
    assert any("squeue will tell" in said for said in launcher.said)


def test_a_submission_that_came_to_nothing_is_made_again(opened, slurm, trial):
    launcher = opened()
    slurm.refuses, slurm.takes = Away("Unable to contact slurm controller"), False
    launcher.launch(*trial(0))
    until(lambda: slurm.submitted, launcher)
    slurm.refuses = None
    until(lambda: any(job.id for job in launcher.jobs), launcher)
    assert len(launcher.jobs) == 1


def test_what_is_refused_is_raised_where_attempts_are_followed(opened, slurm, trial):
    launcher = opened(jobs=2)
    slurm.refuses = Refused("sbatch: error: invalid partition specified: nowhere")
    first = launcher.launch(*trial(0))
    until(lambda: launcher.jobs[0].submission.done())
    second = launcher.launch(*trial(1))
    with pytest.raises(UserError, match=r"launcher\.partition: .*nowhere"):
        until(lambda: False, launcher)
    assert first.waits
    assert second.waits
    launcher.close()
    assert launcher.jobs == []


def test_a_further_job_that_is_refused_is_waited_for(opened, slurm, trial):
    launcher = opened(jobs=2)
    first = working(launcher, slurm, *trial(0))
    slurm.refuses = Refused("sbatch: error: QOSMaxSubmitJobPerUserLimit")
    launcher.launch(*trial(1))
    until(lambda: any("the next try is in" in said for said in launcher.said), launcher)
    for _ in range(20):
        launcher.step(now=True)
    assert len(slurm.submitted) == 2
    assert launcher.jobs == [first.job]


def test_submissions_whose_turn_had_not_come_are_taken_back(opened, slurm, trial):
    launcher = opened(jobs=3)
    slurm.hold = threading.Event()
    for number in range(3):
        launcher.launch(*trial(number))
    until(lambda: len(launcher.jobs) == 3, launcher)
    threading.Timer(0.1, slurm.hold.set).start()
    launcher.close()
    assert len(slurm.submitted) <= 1
    assert launcher.jobs == []


def test_a_node_that_failed_is_left_out_once_unless_there_is_no_other(opened, slurm, trial):
    launcher = opened(jobs=1)
    attempt = working(launcher, slurm, *trial(0))
    slurm.set(attempt.job.id, "NODE_FAIL")
    until(lambda: attempt.poll() is not None)
    assert attempt.exit.cause is Cause.MOVED
    none = Refused("sbatch: error: Requested node configuration is not available")
    slurm.refuses = lambda excluded: none if excluded else None
    launcher.launch(*trial(0, attempt=1))
    until(lambda: launcher.jobs and launcher.jobs[-1].id == "101", launcher)
    assert slurm.submitted[1:] == [("x.1", "n1"), ("x.1", None)]


def test_jobs_that_the_settings_do_not_ask_for_any_more_get_no_trial(opened, slurm, trial):
    earlier = opened(partition="old", jobs=2)
    running = working(earlier, slurm, *trial(0))
    earlier.launch(*trial(1))
    until(lambda: len(earlier.jobs) == 2 and earlier.jobs[1].id, earlier)
    launcher = opened(partition="new", jobs=1)
    assert launcher.take_up(trial(0)[0]) is not None
    assert all(job.closed for job in launcher.jobs)
    until(lambda: slurm.cancelled == [earlier.jobs[1].id], launcher)
    assert running.poll() is None
    again = opened(partition="old", jobs=5, idle_seconds=5.0)
    assert [job.shape for job in again.jobs] == [again._pool.shape] * len(again.jobs)


def test_jobs_that_end_before_they_begin_end_the_run_though_another_works(opened, slurm, trial):
    launcher = opened(jobs=2)
    working(launcher, slurm, *trial(0))
    launcher.launch(*trial(1))

    def fail():
        for job in launcher.jobs[1:]:
            if job.id:
                slurm.set(job.id, "TIMEOUT")

    with pytest.raises(UserError, match="came to its time limit before it began to work"):
        until(fail, launcher)
    assert len(slurm.submitted) == 4


def test_a_waiting_job_that_somebody_cancels_stops_one_trial(opened, slurm, trial):
    launcher = opened()
    attempt = launcher.launch(*trial(0))
    until(lambda: launcher.jobs and launcher.jobs[0].id, launcher)
    slurm.set(launcher.jobs[0].id, "CANCELLED")
    until(lambda: attempt.poll() is not None)
    assert attempt.exit.cause is Cause.CANCELLED


def test_a_trial_without_a_job_can_be_taken_back(opened, slurm, trial):
    launcher = opened()
    attempt = launcher.launch(*trial(0))
    attempt.recall()
    assert attempt.poll().vanished
    until(lambda: launcher.jobs[0].id, launcher)
    begin(slurm, launcher.jobs[0])
    until(lambda: launcher.jobs[0].idle, launcher)
    assert launcher.jobs[0].orders == 0


def test_jobs_that_would_be_told_to_leave_at_once_end_the_run(opened, slurm, trial):
    launcher = opened(signal_seconds=3700)  # the partition's jobs have an hour
    attempt = launcher.launch(*trial(0))
    with pytest.raises(SettingsError, match=r"signal_seconds: found 3700.* has 1 h 00 min in all"):
        until(lambda: False, launcher)
    attempt.recall()
    launcher.step(now=True)
    assert len(slurm.submitted) == 1, "no further one follows"


def test_a_job_with_too_little_time_takes_no_further_trial(opened, slurm, trial):
    launcher = opened(jobs=1, signal_seconds=120)
    attempt = working(launcher, slurm, *trial(0))
    post(attempt.job.folder.exit(0, 0), WELL)
    until(lambda: attempt.poll() is not None)
    assert len(launcher._seconds) == 1
    launcher._seconds = [5000.0]
    following = launcher.launch(*trial(1))
    until(lambda: len(launcher.jobs) == 2, launcher)
    assert following.waits
    assert "closed" in read(attempt.job.folder.order(1))


def test_a_folder_whose_job_was_never_submitted_is_put_away(opened, tmp_path):
    JobFolder(tmp_path / "jobs" / "6").path.mkdir(parents=True)
    launcher = opened()
    assert launcher.jobs == []
    assert [path.name for path in (tmp_path / "jobs" / ENDED).iterdir()] == ["6"]
    assert launcher._pool.next_number == 7


def test_what_the_jobs_do_is_written_for_those_who_look(opened, slurm, trial, tmp_path):
    launcher = opened()
    working(launcher, slurm, *trial(0))
    until(lambda: launcher.jobs[0].state.state == "RUNNING", launcher)
    launcher._board.show(launcher.jobs, now=True)
    (job,) = json.loads((tmp_path / "jobs" / "state.json").read_text())["jobs"]
    assert (job["id"], job["state"], job["nodes"]) == ("100", "RUNNING", "n1")
    assert (job["trial"], job["seconds_left"]) == ("trial_0", 3600.0)
