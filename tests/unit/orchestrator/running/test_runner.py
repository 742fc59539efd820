"""What a rank's fault means for its own trial, the other trials and the devices."""

import contextlib
import json
import os
import sqlite3
import time
import types
from unittest import mock

import optuna
import pytest
from optuna.trial import TrialState

from orchestrator.launcher.base import Cause, Exit
from orchestrator.launcher.gpus import Gpus
from orchestrator.running import runner as module
from orchestrator.running.clock import Clock
from orchestrator.running.ending import elsewhere
from orchestrator.running.room import DiskFull
from orchestrator.running.runner import Runner
from orchestrator.running.slots import Slot
from orchestrator.settings.layers import Asked
from orchestrator.settings.schema import StopWhen
from orchestrator.steering import steering as steering_module
from orchestrator.steering.requests import Request, What, ask_for
from orchestrator.steering.steering import Steering
from orchestrator.study.journal import note
from orchestrator.study.study_file import StudyFile, write_study_file
from protocol.errors import UserError
from protocol.messages import (
    Failed,
    Fault,
    Finished,
    Started,
    Stop,
    Stopped,
    Validated,
    append_event,
    latest_plan,
    load_outcome,
)
from tests.searches import SmallSearch, make_settings

SENTENCE = "a sentence"


def failing(fault, *, rank=0):
    """What a trial's ranks do: fail so in the next attempt."""

    def play(folder, plan):
        kind = {"error": "SomeError", "message": SENTENCE, "traceback": "", "user_error": False}
        append_event(folder.events, Failed(attempt=plan.attempt, rank=rank, fault=fault, **kind))
        return Exit(codes={0: 1}, first=0)

    return play


def finishing(folder, plan):
    size = {"ranks": 1, "epochs": 1, "steps_per_epoch": 1, "parameters": 1, "resumed_step": 0}
    append_event(folder.events, Started(attempt=plan.attempt, **size))
    best = {"early": False, "best_epoch": 1, "metrics": {"error": 0.5}}
    append_event(folder.events, Finished(attempt=plan.attempt, epoch=1, step=1, **best))
    return Exit(codes={0: 0})


class Scripted:
    """A launcher whose attempts are over at once; what is left of the script finishes."""

    left = False

    def __init__(self, script):
        self.script = list(script)
        self.launched = []  # (trial, its devices)

    def launch(self, folder, plan):
        self.launched.append((plan.trial, *plan.devices))
        play = self.script.pop(0) if self.script else finishing
        return Over(play(folder, plan))

    def take_up(self, folder):
        return None

    def avoid(self, attempt):
        return False

    def sweep(self, folder):
        return 0

    def leave(self):
        self.left = True


class Over:
    waits = False
    place = ""

    def __init__(self, exit):
        self._exit = exit
        self._read, self._write = os.pipe()
        os.close(self._write)

    def fileno(self):
        return self._read

    def poll(self):
        os.close(self._read)
        return self._exit

    def kill(self):
        pass

    def recall(self):
        pass


class Notices(mock.Mock):
    @property
    def words(self):
        return " ".join(call.args[0] for call in self.notice.call_args_list)


class Search(SmallSearch):
    """A whole search but for the processes."""

    gpus = Gpus([])

    def play(self, *script, devices=("cpu",)):
        """Run until the budget is spent; the trouble that ended it before."""
        slots = [Slot(devices=(device,), threads=1) for device in devices]
        self.launcher, self.display = Scripted(script), Notices()
        read, write = os.pipe()
        interrupts = types.SimpleNamespace(count=0, fileno=lambda: read, drain=lambda: None)
        interrupts.left_by = None
        self.interrupts = interrupts
        steering = Steering(self.folder, lambda: setattr(interrupts, "count", 1))
        steering.open(self.study, mock.Mock())
        session = types.SimpleNamespace(
            check_hold=lambda: None,
            settings=self.settings,
            slots=slots,
            interrupts=interrupts,
            folder=self.folder,
            study=self.study,
            name="small",
            surroundings={},
            launcher=self.launcher,
            gpus=self.gpus,
            display=self.display,
            check_data=lambda: None,
            known=types.SimpleNamespace(identity="", inputs={}),
            steering=steering,
            steered=steering.look,
            take_settings=lambda taken: setattr(session, "settings", taken),
        )
        runner = Runner(session, self.asker, Clock(self.folder.clock))
        try:
            runner.run()
        except UserError as error:
            return error
        finally:
            os.close(read)
            os.close(write)
        return None

    @property
    def states(self):
        return [trial.state for trial in self.trials()]


@pytest.fixture
def search(tmp_path):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    changes = {"n_trials": 3, "recipe": {"epochs": 1}}
    return Search(
        tmp_path, make_settings({"rate": {"low": 0.1, "high": 1.0}}, {"kind": "random"}, **changes)
    )


COMPLETE, PRUNED, FAIL, RUNNING = (
    TrialState.COMPLETE,
    TrialState.PRUNED,
    TrialState.FAIL,
    TrialState.RUNNING,
)


def test_a_point_that_the_family_refuses_ends_one_trial_and_the_study_goes_on(search):
    assert search.play(finishing, failing(Fault.RECIPE)) is None
    assert search.states == [COMPLETE, PRUNED, COMPLETE]
    refused = search.trials()[1]
    assert refused.user_attrs["ending"] == "invalid"
    assert refused.user_attrs["reason"] == SENTENCE
    assert refused.constraints == {"valid": 1.0}


def test_what_the_user_must_mend_ends_the_run_and_no_trial(search):
    trouble = search.play(failing(Fault.USER))
    assert str(trouble) == f"trial 0: {SENTENCE}"
    assert search.states == [RUNNING]
    assert search.play() is None
    assert search.states == [COMPLETE] * 3


def test_a_full_disk_pauses_the_study_and_fails_no_trial(search, monkeypatch):
    monkeypatch.setattr(module, "has_room", lambda folder, size: False)
    trouble = search.play(finishing, failing(Fault.DISK))
    assert isinstance(trouble, DiskFull)
    assert search.states == [COMPLETE, RUNNING]
    assert "losses" not in search.trials()[1].user_attrs
    assert search.play() is None
    assert search.states == [COMPLETE] * 3


def test_a_full_disk_that_is_not_the_studys_is_tried_again_boundedly(search):
    most = search.settings.limits.relaunches
    assert search.play(*[failing(Fault.DISK)] * (most + 1)) is None
    assert search.states == [FAIL, COMPLETE, COMPLETE]
    assert search.launcher.launched.count((0, "cpu")) == most + 1
    assert "by others" not in search.display.words


def test_a_device_with_errors_is_used_no_more_and_its_trial_goes_on_elsewhere(search):
    assert search.play(failing(Fault.DEVICE), devices=("cuda:0", "cuda:1", "cuda:0")) is None
    assert search.states == [COMPLETE] * 3
    later = search.launcher.launched[3:]
    assert later
    assert all(device == "cuda:1" for _, device in later)
    assert 0 in [trial for trial, _ in later]
    assert "cuda:0 answered with an error" in search.display.words


def test_without_a_device_left_the_run_ends_with_a_sentence_and_can_be_resumed(search):
    trouble = search.play(failing(Fault.DEVICE), devices=("cuda:0",))
    assert "no device is left to train on; cuda:0" in str(trouble)
    assert search.states == [RUNNING]
    assert search.play(devices=("cuda:0",)) is None
    assert search.states == [COMPLETE] * 3


def test_a_fault_of_the_machine_ends_the_run_once_it_repeats(search):
    most = search.settings.limits.same_failures
    trouble = search.play(*[failing(Fault.MACHINE)] * most)
    assert f"{most} trials in a row" in str(trouble)
    assert SENTENCE in str(trouble)
    assert search.states == [FAIL] * most


@pytest.mark.parametrize("fault", [Fault.LOADER, Fault.DEVICE])
def test_a_trial_that_was_lost_as_its_orchestrator_was_killed_is_resumed(search, fault):
    """The event was written, and nobody was there to follow it."""

    def killed(folder, plan):
        failing(fault)(folder, plan)
        raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        search.play(killed)
    assert search.states == [RUNNING]
    search.restart()
    assert search.play() is None
    assert search.states == [COMPLETE] * 3


def test_what_a_trial_comes_to_while_it_stops_for_others_is_part_of_its_outcome(search):
    """`best.pth` may be of an epoch that ended after somebody had told the trial."""

    def told_by_others(folder, plan):
        search.study.tell(plan.trial, state=FAIL)
        end = {"metrics": {"error": 0.5}, "losses": {}, "learning_rate": 1.0, "seconds": 1.0}
        told = Validated(attempt=plan.attempt, epoch=1, step=1, best=True, **end)
        append_event(folder.events, told)
        return Exit(codes={0: 0})

    assert search.play(told_by_others) is None
    assert search.states == [FAIL, COMPLETE, COMPLETE]
    assert load_outcome(search.folder.trial(0).outcome).best_epoch == 1


def test_what_kills_left_in_folders_of_trials_that_ended_goes_while_the_next_one_trains(search):
    assert search.play() is None
    ended = search.folder.trial(0)
    (ended.path / "fold_0").mkdir()
    gone = 999_999_999  # a process that nobody has
    left = [ended.superseded(3), ended.path / f"fold_0/.best.pth.{gone}.partial"]
    for path in left:
        path.touch()
    at_the_launch = []

    def looking(folder, plan):
        at_the_launch.extend(path.exists() for path in left)
        return finishing(folder, plan)

    more = search.settings.model_copy(update={"n_trials": 4})
    assert Search(search.runs, more).play(looking) is None
    assert at_the_launch == [True, True]
    assert not any(path.exists() for path in left)


MOVED, CANCELLED = (
    Exit(vanished=True, word="job 7 ended", cause=cause) for cause in (Cause.MOVED, Cause.CANCELLED)
)


def test_a_trial_that_was_moved_goes_on_as_often_as_it_takes(search):
    times = search.settings.limits.relaunches + 3
    assert search.play(*[lambda folder, plan: MOVED] * times) is None
    assert search.states == [COMPLETE] * 3
    assert len(search.launcher.launched) == 3 + times
    assert not any("losses" in trial.user_attrs for trial in search.trials())
    assert "job 7 ended; it goes on" in search.display.words


def test_a_trial_whose_job_somebody_cancelled_ends_alone(search):
    assert search.play(finishing, lambda folder, plan: CANCELLED) is None
    assert search.states == [COMPLETE, PRUNED, COMPLETE]
    assert search.trials()[1].user_attrs["ending"] == "cancelled"


class Outliving(Scripted):
    """A launcher whose attempts are found again by the next search, running still."""

    def __init__(self, script):
        super().__init__(script)
        self.taken_up = []

    def take_up(self, folder):
        if load_outcome(folder.outcome) is not None:
            return None
        self.taken_up.append(folder.number)
        return Over(finishing(folder, latest_plan(folder)))


def test_trials_that_outlived_their_search_are_followed_though_there_are_fewer_slots(search):
    search.play(*[failing(Fault.USER)] * 2, devices=("cpu", "cpu"))
    assert search.states == [RUNNING, RUNNING]
    with mock.patch(f"{__name__}.Scripted", Outliving):
        assert search.play(devices=("cpu",)) is None
    assert search.states == [COMPLETE] * 3
    assert search.launcher.taken_up == [0, 1]
    assert search.launcher.launched == [(2, "cpu")]
    assert "trial 1 is taken up" in search.display.words


def test_what_a_killed_search_had_stopped_is_no_loss_when_it_is_taken_up(search):
    def stopping(folder, plan):
        stopped = Stopped(attempt=plan.attempt, epoch=1, step=1, reason=Stop.INTERRUPT)
        append_event(folder.events, stopped)
        return Exit(codes={0: 0})

    search.play(failing(Fault.USER))  # it left, its trial did not
    search.folder.trial(0).stop.write_text(Stop.INTERRUPT.value)

    class Stopping(Outliving):
        def take_up(self, folder):
            return Over(stopping(folder, latest_plan(folder))) if folder.number == 0 else None

    with mock.patch(f"{__name__}.Scripted", Stopping):
        assert search.play() is None
    assert search.states == [COMPLETE] * 3
    assert "losses" not in search.trials()[0].user_attrs


def test_no_more_trials_are_launched_than_there_are_slots_after_taking_up(search):
    attempts = []

    class Counted(Over):
        def __init__(self, exit):
            super().__init__(exit)
            self.looks = 1 + 3 * len(attempts)  # the first ends before the second
            attempts.append(self)

        def poll(self):
            self.looks -= 1
            return super().poll() if self.looks == 0 else None

    search.play(*[failing(Fault.USER)] * 2, devices=("cpu", "cpu"))
    most = []

    class Watched(Outliving):
        def launch(self, folder, plan):
            most.append(sum(attempt.looks > 0 for attempt in attempts))
            return super().launch(folder, plan)

    with (
        mock.patch(f"{__name__}.Scripted", Watched),
        mock.patch(f"{__name__}.Over", Counted),
    ):
        assert search.play(devices=("cpu",)) is None
    assert most == [0], "the last trial waited for both that were taken up"


def test_a_launcher_that_can_launch_no_more_ends_the_run_and_no_trial(search):
    class Refusing(Over):
        polls = 0

        def poll(self):
            self.polls += 1
            if self.polls == 1:
                raise UserError("sbatch refuses: no such partition")
            return Exit(vanished=True, word="it was still waiting for a job")

    with mock.patch(f"{__name__}.Over", Refusing):
        trouble = search.play(lambda folder, plan: None)
    assert str(trouble) == "sbatch refuses: no such partition"
    assert search.states == [RUNNING]


def test_a_search_that_has_to_leave_stops_no_trial(search):
    class Lasting(Over):
        def poll(self):
            search.interrupts.left_by = "SIGUSR2"

        def recall(self):
            raise AssertionError("it goes on")

    with mock.patch(f"{__name__}.Over", Lasting):
        assert search.play() is None
    assert search.launcher.left
    assert search.states == [RUNNING]
    assert not search.folder.trial(0).stop.exists()


def test_a_trial_that_has_not_begun_or_waits_to_be_resumed_is_ended_by_a_request(search):
    search.asker.ask()  # and its orchestrator was killed
    search.study.enqueue_trial({"rate": 0.5})
    for number in (0, 1):
        ask_for(search.folder, Request(what=What.STOP_TRIAL, trial=number, why="no", pid=number))
    assert search.play() is None
    assert search.states == [PRUNED, PRUNED, COMPLETE]
    assert [trial for trial, _ in search.launcher.launched] == [2]
    for number in (0, 1):
        outcome = load_outcome(search.folder.trial(number).outcome)
        assert outcome.ending == "cancelled"
        assert outcome.reason.endswith(": no")


def test_while_it_is_paused_nothing_is_launched_and_no_time_counts(search):
    ask_for(search.folder, Request(what=What.PAUSE, until=time.time() + 2.0))
    began = time.monotonic()
    assert search.play() is None
    assert time.monotonic() - began > 1.8
    assert json.loads(search.folder.clock.read_text())["seconds"] < 1.5
    assert "paused by" in search.display.words
    assert search.states == [COMPLETE] * 3


class Visited(Gpus):
    """GPUs that somebody else uses for so many looks."""

    def __init__(self, **looks):
        super().__init__([])
        self.looks = looks

    def taken(self, devices):
        (device,) = devices
        left = self.looks.get(device.replace(":", ""), 0)
        self.looks[device.replace(":", "")] = max(0, left - 1)
        return f"{device} is used by process 7 of ada" if left else ""


def test_a_gpu_that_others_use_is_left_alone_until_it_is_free(search):
    search.settings = search.settings.model_copy(update={"yield_to_others": True})
    search.gpus = Visited(cuda0=4)
    assert search.play(devices=("cuda:0",)) is None
    assert search.states == [COMPLETE] * 3
    assert search.display.words.count("cuda:0 is used by process 7 of ada, and left alone") == 1
    assert search.display.words.count("cuda:0: free again") == 1
    search.gpus = Visited(cuda0=10**6)
    search.settings = search.settings.model_copy(update={"n_trials": 5})
    search.restart()
    assert search.play(devices=("cuda:0", "cuda:1")) is None
    assert {device for _, device in search.launcher.launched} == {"cuda:1"}


def test_without_the_setting_nobody_is_yielded_to(search):
    search.gpus = Visited(cuda0=10**6)
    assert search.play(devices=("cuda:0",)) is None
    assert search.states == [COMPLETE] * 3


def test_a_study_that_is_renamed_elsewhere_goes_on_and_says_so(search, monkeypatch):
    monkeypatch.setattr(elsewhere, "_LOOK_SECONDS", 0.0)

    def renamed(folder, plan):
        with contextlib.closing(sqlite3.connect(search.folder.database)) as connection:
            connection.execute("UPDATE studies SET study_name = 'other'")
            connection.commit()
        return finishing(folder, plan)

    assert search.play(renamed) is None
    assert search.states == [COMPLETE] * 3
    assert search.display.words.count("renamed to 'other'") == 1


def test_a_stop_rule_ends_the_search_before_its_budget(search):
    search.settings = search.settings.model_copy(update={"stop_when": StopWhen(no_improvement=1)})
    search.play(finishing, finishing, finishing)
    assert len(search.trials()) == 2
    assert "no further trial begins: 1 trial ended without a better" in search.display.words


def test_a_budget_that_is_raised_and_a_trial_that_is_ignored_take_effect_while_it_runs(search):
    settings = search.settings
    write_study_file(search.folder, StudyFile(asked=Asked(), settings=settings))
    note(search.folder, settings, search.asker.space, 0)

    def steering(folder, plan):
        ask_for(search.folder, Request(what=What.SET, sets=["n_trials=5"]))
        ask_for(search.folder, Request(what=What.IGNORE, trial=0))
        return finishing(folder, plan)

    with mock.patch.object(steering_module, "_LOOK_SECONDS", 0.0):
        assert search.play(finishing, steering) is None
    assert search.states == [COMPLETE] * 5
    search.display.study_changed.assert_called_with(5, None, None)  # trial 1 still trains
    assert "0" not in search.trials()[-1].user_attrs["visible"]["finished"].split("-")
    assert search.folder.best.readlink().name == "trial_1"
