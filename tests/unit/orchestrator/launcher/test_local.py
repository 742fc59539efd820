import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from orchestrator.launcher import local
from orchestrator.launcher.base import Exit
from orchestrator.launcher.environment import ROOT
from orchestrator.launcher.local import LocalLauncher
from protocol.errors import DataError, UserError
from protocol.messages import Failed, Finished, Started, load_plan
from tests.ranks import events, make_plan, wait_for

SOON = 6.0  # "at once", on a machine that has other things to do


@pytest.fixture
def launch(launcher):
    """Launches the plan in a trial's folder; nothing of it outlives the test."""
    launched = []

    def begin(trial, by=launcher):
        attempt = by.launch(trial, load_plan(trial.plan))
        launched.append(attempt)
        return attempt

    yield begin
    for attempt in launched:
        attempt.kill()
        wait_for(lambda attempt=attempt: attempt.poll() is not None)


@pytest.fixture
def endless(tmp_path, launch):
    """A trial of two ranks in the midst of training, which they would do for hours."""

    def begin(**changes):
        recipe = {"epochs": 10**5, "step_seconds": 0.02} | changes.pop("recipe", {})
        trial = make_plan(tmp_path, ranks=2, recipe=recipe, **changes)
        attempt = launch(trial)
        wait_for(lambda: events(trial, Started))
        return trial, attempt

    return begin


def ranks_of(attempt) -> list[psutil.Process]:
    attempt.poll()
    children = psutil.Process(attempt.pid).children()
    return sorted(children, key=lambda process: process.pid)


def left_of(session: int) -> list[int]:
    """The processes of a session that are more than a zombie."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except (psutil.NoSuchProcess, ProcessLookupError):
            continue
    return found


def ended(attempt, within: float) -> Exit:
    """The attempt's exit, which must come `within` so many seconds."""
    wait_for(lambda: attempt.poll() is not None, within)
    return attempt.poll()


# ------------------------------------------------------------------------------- attempts


def test_an_attempt_that_ends_well_reports_every_rank(tmp_path, launch):
    trial = make_plan(tmp_path, ranks=2)
    attempt = launch(trial)
    assert ended(attempt, 60) == Exit(codes={0: 0, 1: 0})
    assert len(events(trial, Finished)) == 1
    wait_for(lambda: not left_of(attempt.pid), SOON)


def test_an_exception_on_one_rank_is_reported_with_its_rank(tmp_path, launch):
    trial = make_plan(tmp_path, ranks=2, recipe={"raise_at_step": 2, "fault_rank": 1})
    exit = ended(launch(trial), 60)
    assert exit.first == 1
    assert exit.codes[1] == 1
    assert exit.codes[0] != 0, "its peer does not go on alone"


def test_a_rank_whose_log_has_no_room_tells_its_end_all_the_same(tmp_path, launch):
    trial = make_plan(tmp_path, ranks=2, recipe={"raise_at_step": 2, "fault_rank": 1})
    trial.rank_log(1).symlink_to("/dev/full")
    exit = ended(launch(trial), 60)
    assert (exit.first, exit.codes[1]) == (1, 1)
    assert "RuntimeError" in [event.error for event in events(trial, Failed)]


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_rank_is_noticed_at_once_and_takes_its_peers_along(endless, rank):
    _, attempt = endless(recipe={"loader_workers": 1})
    wait_for(lambda: len(left_of(attempt.pid)) >= 5)  # a leader, two ranks and their loaders
    ranks_of(attempt)[rank].kill()
    exit = ended(attempt, SOON)
    assert (exit.first, exit.codes[rank]) == (rank, -signal.SIGKILL)
    assert set(exit.codes) == {0, 1}
    wait_for(lambda: not left_of(attempt.pid), SOON)


def test_a_frozen_rank_is_noticed_within_its_time_out(endless):
    _, attempt = endless(hang_seconds=1.5)
    time.sleep(2.0)
    assert attempt.poll() is None, "a rank that makes progress is not hung"
    ranks_of(attempt)[1].suspend()
    exit = ended(attempt, 1.5 + SOON)
    assert exit.hung is not None
    assert exit.codes == {0: -signal.SIGKILL, 1: -signal.SIGKILL}
    wait_for(lambda: not left_of(attempt.pid), SOON)


def test_killing_the_leader_leaves_no_process(endless, launcher):
    trial, attempt = endless(recipe={"loader_workers": 1})
    wait_for(lambda: len(left_of(attempt.pid)) >= 5)
    ranks = ranks_of(attempt)
    os.kill(attempt.pid, signal.SIGKILL)
    assert ended(attempt, SOON) == Exit(vanished=True)
    wait_for(lambda: not any(rank.is_running() for rank in ranks), SOON)
    launcher.sweep(trial)
    assert left_of(attempt.pid) == []


def test_killing_an_attempt_leaves_no_process(endless):
    _, attempt = endless(recipe={"loader_workers": 1})
    wait_for(lambda: len(left_of(attempt.pid)) >= 5)
    attempt.kill()
    assert ended(attempt, SOON).vanished
    wait_for(lambda: not left_of(attempt.pid), SOON)


def test_a_dropped_attempt_is_ended(tmp_path, launcher):
    trial = make_plan(tmp_path, recipe={"epochs": 10**5})
    attempt = launcher.launch(trial, load_plan(trial.plan))
    wait_for(lambda: events(trial, Started))
    attempt.poll()
    pid = attempt.pid
    del attempt
    wait_for(lambda: not left_of(pid), SOON)


def test_ranks_append_to_their_logs(tmp_path, launch):
    trial = make_plan(tmp_path, ranks=2, recipe={"raise_at_step": 1})
    ended(launch(trial), 60)
    first = trial.rank_log(0).read_text()
    assert "the toy was asked to raise at step 1" in first
    make_plan(tmp_path, ranks=2, attempt=1, recipe={"raise_at_step": 2})
    ended(launch(trial), 60)
    both = trial.rank_log(0).read_text()
    assert both.startswith(first)
    assert "the toy was asked to raise at step 2" in both[len(first) :]
    assert trial.rank_log(1).exists()


def test_attempts_run_side_by_side(tmp_path, launch):
    trials = [make_plan(tmp_path / name, recipe={"step_seconds": 0.05}) for name in "abc"]
    attempts = [launch(trial) for trial in trials]
    wait_for(lambda: all(events(trial, Started) for trial in trials))
    assert [attempt.poll() for attempt in attempts] == [None] * 3
    attempts[1].kill()
    assert ended(attempts[0], 30) == ended(attempts[2], 30) == Exit(codes={0: 0})
    assert len({attempt.pid for attempt in attempts}) == 3


def test_a_folder_that_cannot_be_written_ends_the_attempt_without_a_word(tmp_path, launch):
    trial = make_plan(tmp_path)
    trial.attempt.mkdir()  # where the leader leaves its process id
    assert ended(launch(trial), SOON) == Exit(vanished=True)
    assert not trial.events.exists()


def test_a_leader_that_stays_stopped_is_ended_with_all_its_ranks(endless):
    _, attempt = endless(hang_seconds=1.5)
    ranks = ranks_of(attempt)
    psutil.Process(attempt.pid).suspend()
    exit = ended(attempt, 1.5 + SOON)
    assert exit.vanished
    assert exit.word == "the leader of its processes was stopped for 1.5 s, and was killed"
    wait_for(lambda: not any(rank.is_running() for rank in ranks), SOON)


def test_a_leader_that_was_stopped_for_a_moment_goes_on(endless):
    _, attempt = endless(hang_seconds=4.0)
    psutil.Process(attempt.pid).suspend()
    until = time.monotonic() + 2.0
    while time.monotonic() < until:
        assert attempt.poll() is None
        time.sleep(0.05)
    psutil.Process(attempt.pid).resume()
    time.sleep(1.5)
    assert attempt.poll() is None


def test_killing_an_attempt_whose_processes_are_all_stopped_leaves_none(endless):
    _, attempt = endless()
    for process in [psutil.Process(attempt.pid), *ranks_of(attempt)]:
        process.suspend()
    attempt.kill()
    assert ended(attempt, local.KILL_SECONDS + SOON).vanished
    wait_for(lambda: not left_of(attempt.pid), SOON)


def test_a_rank_that_hangs_says_where_before_it_is_killed(endless):
    recipe = {"hang_at_step": 3, "fault_rank": 1}
    trial, attempt = endless(hang_seconds=1.5, recipe=recipe)
    assert ended(attempt, 1.5 + 2 * SOON).hung is not None
    told = trial.stacks(0).read_text().split("==== rank ")
    assert "in _misbehave" in told[2]
    assert "in _misbehave" not in told[1]


# ------------------------------------------------------------------------------- the server


def test_the_server_has_no_thread_that_a_fork_would_lose(tmp_path, launch, launcher):
    ended(launch(make_plan(tmp_path)), 60)
    assert psutil.Process(launcher._server.pid).num_threads() == 1


def test_of_what_the_server_has_imported_its_children_collect_no_garbage(launcher):
    told = launcher.call("tests.called:state", {"module": "torch"})
    assert told == {"imported": True, "collects": True, "frozen": True}


def test_killing_the_server_leaves_its_attempts_alone_and_the_next_launch_works(tmp_path):
    launcher = LocalLauncher(log=tmp_path / "forkserver.log")
    training = {"module": "torch._dynamo"}
    try:
        told = launcher.call("tests.called:state", training)
        assert not told["imported"], "a call waits for what only attempts need"
        first = make_plan(tmp_path / "first", ranks=2, recipe={"epochs": 40, "step_seconds": 0.02})
        going_on = launcher.launch(first, load_plan(first.plan))
        wait_for(lambda: events(first, Started))
        assert launcher.call("tests.called:state", training)["imported"]
        killed = launcher._server.pid
        os.kill(killed, signal.SIGKILL)
        wait_for(lambda: not left_of(killed))
        second = make_plan(tmp_path / "second")
        next_one = launcher.launch(second, load_plan(second.plan))
        assert launcher._server.pid != killed
        assert ended(going_on, 60) == Exit(codes={0: 0, 1: 0})
        assert ended(next_one, 60) == Exit(codes={0: 0})
        assert events(first, Finished)
        assert events(second, Finished)

        third = make_plan(tmp_path / "third", ranks=2, recipe={"epochs": 10**5})
        endless = launcher.launch(third, load_plan(third.plan))
        wait_for(lambda: events(third, Started))
        endless.poll()
    finally:
        server = launcher._server.pid
        launcher.close()
    assert not psutil.pid_exists(server)
    wait_for(lambda: not left_of(endless.pid), SOON)


OWNER = """
import sys, time
from pathlib import Path
from orchestrator.launcher.local import LocalLauncher
from protocol.messages import load_plan
from protocol.folders import TrialFolder
folder = TrialFolder(Path(sys.argv[1]))
launcher = LocalLauncher(log=folder.path / "forkserver.log")
attempt = launcher.launch(folder, load_plan(folder.plan))
print(launcher._server.pid, flush=True)
while True:
    attempt.poll()
    time.sleep(0.01)
"""


@contextmanager
def owner_of(trial) -> Iterator[tuple[subprocess.Popen, int]]:
    """A process that has launched the trial's plan, and its server's process id."""
    command = [sys.executable, "-c", OWNER, str(trial.path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        try:
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


def test_killing_the_owner_leaves_no_process(tmp_path):
    recipe = {"epochs": 10**5, "step_seconds": 0.02, "loader_workers": 1}
    trial = make_plan(tmp_path, ranks=2, recipe=recipe)
    with owner_of(trial) as (owner, server):
        wait_for(lambda: events(trial, Started))
        (leader,) = psutil.Process(server).children()
        wait_for(lambda: len(left_of(leader.pid)) >= 5)  # with the ranks and their loaders
        owner.kill()
        wait_for(lambda: not left_of(leader.pid) and not left_of(server), 2.0)


def test_killing_the_owner_while_its_server_still_imports_leaves_no_process(tmp_path):
    """The request waits in the socket; whoever takes it up later must not begin with it."""
    trial = make_plan(tmp_path, ranks=2, recipe={"epochs": 10**5})
    with owner_of(trial) as (owner, server):
        owner.kill()
        wait_for(lambda: not left_of(server), 2.0)
    assert not trial.attempt.exists()
    assert not trial.events.exists()


@pytest.fixture
def own_launcher(tmp_path):
    """One whose server a test may stop and kill."""
    launcher = LocalLauncher(log=tmp_path / "forkserver.log", trains=False)
    launcher.start()
    yield launcher
    launcher.close()


def test_a_server_that_stays_stopped_is_ended_and_the_next_launch_works(tmp_path, own_launcher):
    trial = make_plan(tmp_path, hang_seconds=1.0)
    own_launcher._server.send_signal(signal.SIGSTOP)
    attempt = own_launcher.launch(trial, load_plan(trial.plan))
    exit = ended(attempt, 1.0 + SOON)
    assert exit.word == "the process it is forked from was stopped for 1 s, and was killed"
    make_plan(tmp_path, hang_seconds=30.0, attempt=1)
    next_one = own_launcher.launch(trial, load_plan(trial.plan))
    assert ended(next_one, 60) == Exit(codes={0: 0})


@pytest.mark.parametrize("killed", [1, local.CALLS])
def test_a_call_whose_server_is_killed_is_made_again_but_not_for_ever(own_launcher, killed):
    servers = []

    def kill() -> None:
        server = own_launcher._server
        if len(servers) < killed and server.pid not in servers:
            servers.append(server.pid)
            server.kill()

    if killed == 1:
        assert own_launcher.call("tests.called:echo", {"a": 1}, kill) == {"a": 1}
    else:
        with pytest.raises(UserError, match=rf"was killed {killed} times .*forkserver\.log$"):
            own_launcher.call("tests.called:echo", {"a": 1}, kill)
    assert len(set(servers)) == killed


def test_a_call_whose_server_is_stopped_is_made_again(own_launcher, monkeypatch):
    monkeypatch.setattr(local, "PATIENCE", 1.0)
    own_launcher._server.send_signal(signal.SIGSTOP)
    assert own_launcher.call("tests.called:echo", {"a": 1}) == {"a": 1}


# ------------------------------------------------------------------------------- calls


def test_a_call_brings_back_the_functions_result(launcher):
    arguments = {"text": "µ", "number": 1.5, "nested": {"list": [1, None, True]}}
    assert launcher.call("tests.called:echo", arguments) == arguments


def test_a_call_may_carry_a_megabyte_each_way(launcher):
    arguments = {"words": ["x" * 1000] * 1200}
    assert launcher.call("tests.called:echo", arguments) == arguments


def test_a_users_error_comes_back_as_what_it_was_with_its_key(launcher):
    with pytest.raises(DataError, match=r"^data\.root: no such file$") as caught:
        launcher.call("tests.called:refuse", {"sentence": "no such file", "key": "data.root"})
    assert (caught.value.key, caught.value.problem) == ("data.root", "no such file")


@pytest.mark.parametrize(
    ("function", "arguments", "words"),
    [
        ("tests.called:fail", {}, "ZeroDivisionError: not by nought"),
        ("tests.called:missing", {}, "AttributeError"),
        ("tests.no_such_module:x", {}, "ModuleNotFoundError"),
        ("tests.called:refuse", {}, "TypeError"),
        ("tests.called:answer_unspeakably", {}, "not JSON serializable"),
    ],
)
def test_any_other_failure_comes_back_with_its_traceback(launcher, function, arguments, words):
    with pytest.raises(RuntimeError) as caught:
        launcher.call(function, arguments)
    assert f"{function} failed:\nTraceback" in str(caught.value)
    assert words in str(caught.value)


def test_what_the_system_refuses_to_a_call_is_an_error_of_the_system_here_too(launcher, tmp_path):
    """Whoever catches it makes a sentence of it; the traceback of over there is kept."""
    with pytest.raises(IsADirectoryError) as caught:
        launcher.call("tests.called:touch", {"path": str(tmp_path)})
    assert caught.value.filename == str(tmp_path)
    assert "the picture could not be drawn" in str(caught.value.__cause__)


def test_a_call_that_leaves_without_a_word_names_the_log(launcher):
    with pytest.raises(UserError, match=r"leave was killed or crashed .*forkserver\.log$"):
        launcher.call("tests.called:leave", {})


def test_what_a_call_prints_is_in_the_log(launcher):
    launcher.call("tests.called:echo", {})
    assert "an echo is heard" in launcher._log.read_text()


def test_giving_up_on_a_call_ends_all_its_processes(launcher, tmp_path):
    pids = tmp_path / "pids"

    class GivenUp(Exception):
        pass

    def waiting() -> None:
        if pids.exists():
            raise GivenUp

    with pytest.raises(GivenUp):
        launcher.call("tests.called:fork_and_wait", {"pids": str(pids)}, waiting)
    started = [int(pid) for pid in pids.read_text().split()]
    wait_for(lambda: not any(psutil.pid_exists(pid) for pid in started), SOON)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_call_leaves_neither_processes_nor_descriptors(launcher):
    launcher.call("tests.called:echo", {})
    gc.collect()  # what earlier tests left behind may not go in between
    before = descriptors()
    for _ in range(5):
        launcher.call("tests.called:echo", {})
    assert descriptors() == before
    wait_for(lambda: not psutil.Process(launcher._server.pid).children(), SOON)


def test_relative_folders_of_the_owner_are_understood(tmp_path, launch):
    trial = make_plan(tmp_path)
    relative = type(trial)(Path(os.path.relpath(trial.path)))
    assert ended(launch(relative), 60) == Exit(codes={0: 0})
