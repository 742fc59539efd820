"""One node of a job, with a fork server that only pretends to train."""

import os
import signal
import threading
import time
from unittest import mock

import pytest

from orchestrator.launcher.base import Exit
from orchestrator.launcher.slurm import member as module
from orchestrator.launcher.slurm.member import TIME_IS_UP, WANTED_BACK, Member
from protocol.folders import JobFolder
from protocol.letters import post, read
from tests.ranks import make_plan

TOLD = {"name": "x.0", "reuse": True, "shape": {"family": "toy", "stages": 1}}


class Attempt:
    """Trains until it is told an exit, or killed."""

    def __init__(self, exit=None):
        self.exit, self.killed = exit, False
        self.read, self.write = os.pipe()

    def fileno(self):
        return self.read

    def poll(self):
        return Exit(codes={0: -9}, first=0) if self.killed else self.exit

    def kill(self):
        self.killed = True


@pytest.fixture(autouse=True)
def handlers(monkeypatch):
    before = {number: signal.getsignal(number) for number in (TIME_IS_UP, WANTED_BACK)}
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(module, "_PEERS_SECONDS", 0.01)
    monkeypatch.setattr(module, "_GRACE_SECONDS", 0.05)
    monkeypatch.setattr(module, "modules_of", lambda family, stages: ())
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def launcher(monkeypatch):
    launcher = mock.Mock()
    launcher.launch_share.side_effect = lambda *_: Attempt(Exit(codes={0: 0}))
    monkeypatch.setattr(module, "LocalLauncher", lambda **_: launcher)
    return launcher


@pytest.fixture
def job(tmp_path):
    folder = JobFolder(tmp_path / "jobs" / "0")
    folder.path.mkdir(parents=True)
    return folder


def tell(job, nodes=1, idle_seconds=0.3, **more):
    post(job.job, TOLD | {"nodes": nodes, "idle_seconds": idle_seconds} | more)


def order(job, number, trial):
    return post(job.order(number), {"folder": str(trial.path), "attempt": 0})


def after(seconds, action):
    threading.Timer(seconds, action).start()


def send(number):
    os.kill(os.getpid(), number)


def test_a_job_takes_orders_and_leaves_when_there_are_none(job, launcher, tmp_path):
    tell(job)
    trial = make_plan(tmp_path)
    for number in (0, 1):
        order(job, number, trial)
    Member(job, 0).run()
    assert [read(job.exit(number, 0))["codes"] for number in (0, 1)] == [{"0": 0}] * 2
    assert read(job.order(2)) == {"closed": "idle"}
    launcher.close.assert_called_once_with()


def test_without_reuse_it_leaves_after_one(job, launcher, tmp_path):
    tell(job, reuse=False)
    order(job, 0, make_plan(tmp_path))
    Member(job, 0).run()
    assert read(job.order(1)) == {"closed": "one trial a job"}


def test_an_order_that_comes_as_it_leaves_is_trained(job, launcher, tmp_path, monkeypatch):
    tell(job, idle_seconds=0.05)
    trial = make_plan(tmp_path)
    posts = module.post

    def posting(path, letter):
        if letter == {"closed": "idle"} and path == job.order(0):
            assert order(job, 0, trial)  # a moment earlier
        return posts(path, letter)

    monkeypatch.setattr(module, "post", posting)
    Member(job, 0).run()
    assert read(job.exit(0, 0))["codes"] == {"0": 0}


def test_a_job_that_slurm_runs_once_more_takes_nothing(job, launcher):
    tell(job)
    post(job.began(0), {"host": "n1", "pid": 1})
    Member(job, 0).run()
    launcher.start.assert_not_called()
    assert read(job.order(0)) is None


@pytest.mark.parametrize(("number", "why"), [(TIME_IS_UP, "expired"), (WANTED_BACK, "displaced")])
def test_at_a_signal_its_trial_is_asked_to_stop_and_it_leaves(job, launcher, tmp_path, number, why):
    tell(job, idle_seconds=30.0)
    trial, attempt = make_plan(tmp_path), Attempt()
    launcher.launch_share.side_effect = lambda *_: attempt
    order(job, 0, trial)

    def stopping():
        while not trial.stop.exists():
            time.sleep(0.01)
        attempt.exit = Exit(codes={0: 0})

    after(0.0, stopping)
    after(0.2, lambda: send(number))
    Member(job, 0).run()
    assert trial.stop.read_text() == why
    assert read(job.exit(0, 0))["left"] == why
    assert read(job.order(1)) == {"closed": why}


def test_a_stop_for_another_reason_is_not_overwritten(job, launcher, tmp_path):
    trial = make_plan(tmp_path)
    trial.stop.write_text("pruned")
    module.post_text(trial.stop, "expired")
    assert trial.stop.read_text() == "pruned"
    assert not list(trial.path.glob(".*partial"))


def test_an_idle_job_leaves_at_once_when_its_time_is_up(job, launcher):
    tell(job, idle_seconds=30.0)
    after(0.1, lambda: send(TIME_IS_UP))
    began = time.monotonic()
    Member(job, 0).run()
    assert time.monotonic() - began < 5
    assert read(job.order(0)) == {"closed": "expired"}


@pytest.mark.parametrize("how", ["a letter", "the folder put away"])
def test_a_trial_that_is_to_end_at_once_is_killed(job, launcher, tmp_path, how):
    tell(job)
    attempt = Attempt()
    launcher.launch_share.side_effect = lambda *_: attempt
    order(job, 0, make_plan(tmp_path))
    member = Member(job, 0)

    def end():
        if how == "a letter":
            post(job.kill(0), {})
        else:
            job.path.rename(tmp_path / "ended")

    after(0.1, end)
    try:
        member.run()
    except FileNotFoundError:
        assert how != "a letter"
    assert attempt.killed


def test_ranks_whose_peers_on_another_node_failed_do_not_wait_for_ever(job, launcher, tmp_path):
    tell(job, nodes=2)
    attempt = Attempt()
    launcher.launch_share.side_effect = lambda *_: attempt
    order(job, 0, make_plan(tmp_path))
    dead = {"codes": {"1": -9}, "first": 1, "hung": None, "vanished": False, "left": None}
    after(0.1, lambda: post(job.exit(0, 1), dead))
    Member(job, 0).run()
    assert attempt.killed


def test_only_the_first_node_decides_that_the_job_leaves(job, launcher):
    tell(job, nodes=2, idle_seconds=0.05)
    after(0.3, lambda: post(job.order(0), {"closed": "idle"}))
    began = time.monotonic()
    Member(job, 1).run()
    assert time.monotonic() - began >= 0.25


def test_a_plan_that_does_not_appear_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_PLAN_SECONDS", 0.1)
    trial = make_plan(tmp_path, attempt=0)
    with pytest.raises(TimeoutError, match="of attempt 1 is not seen on this node"):
        module._plan_of(trial, 1)
    assert module._plan_of(trial, 0).attempt == 0
