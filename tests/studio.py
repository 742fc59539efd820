"""Runs real studies of the toy family through the real command, in a folder of their own."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import optuna
import psutil
import yaml

from orchestrator.__main__ import main
from orchestrator.launcher.local import LocalLauncher
from protocol.folders import StudyFolder, TrialFolder
from protocol.messages import Event, Left, Used, read_events

ROOT = Path(__file__).resolve().parents[1]
TOY = f"{ROOT}/tests/families/toy.py:Toy"
_TAG = "TOMOSTUDY_TEST"

TOY_PRESET: dict[str, Any] = {
    "family": TOY,
    "objective": {"metric": "error", "direction": "minimize"},
    "n_trials": 3,
    "data": {},
    "recipe": {"epochs": 2, "optimizer": "adam"},
    "search": {"learning_rate": {"low": 1e-3, "high": 1e-1, "log": True}},
    "pruner": {"kind": "none"},
    "devices": "cpu",
    "pictures": 0,  # drawing takes as long as all the rest of a trial
    "report": False,  # likewise
}


@dataclass
class Studio:
    """A folder with a preset, its runs, and every process that they start.

    With a `launcher`, `run` and `command` are the same within this process, as on a machine of one
    core, and trials and calls are forked from that launcher's server: a study in a second rather
    than six, for what a process of its own would not show better.
    """

    path: Path
    name: str = "x"
    preset: dict[str, Any] = field(default_factory=lambda: json.loads(json.dumps(TOY_PRESET)))
    launcher: LocalLauncher | None = None
    environment: dict[str, str] = field(default_factory=dict)  # beside that of the tests
    database: str = ""  # where a study is looked for that is not kept in its folder

    def __post_init__(self) -> None:
        self.tag = f"{os.getpid()}-{self.path.name}-{time.monotonic_ns()}"

    def change(self, **sections: Any) -> None:
        """Set keys of the preset; a mapping is merged into the section of that name."""
        for key, value in sections.items():
            if isinstance(value, dict) and isinstance(self.preset.get(key), dict):
                self.preset[key] |= value
            else:
                self.preset[key] = value

    @property
    def folder(self) -> StudyFolder:
        return StudyFolder(self.path / "runs" / self.name)

    def trial(self, number: int) -> TrialFolder:
        return self.folder.trial(number)

    def arguments(self, *more: str) -> list[str]:
        preset = self.path / "preset.yml"
        preset.write_text(yaml.safe_dump(self.preset, sort_keys=False))
        config = self.path / "config.yml"
        config.write_text("{}\n")
        return ["run", *self.where, "--preset", str(preset), "--config", str(config), *more]

    @property
    def where(self) -> list[str]:
        return ["--study_name", self.name, "--runs_dir", str(self.path / "runs")]

    def start(self, *more: str) -> subprocess.Popen[str]:
        """Begin a run, or go on with the study."""
        return self.start_command(self.arguments(*more))

    def start_command(self, arguments: list[str]) -> subprocess.Popen[str]:
        environment = os.environ | {_TAG: self.tag, "PYTHONPATH": str(ROOT)} | self.environment
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "orchestrator", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
            cwd=self.path,
        )

    def run(self, *more: str, timeout: float = 240) -> tuple[int, str]:
        """Run to the end; the exit code and everything that was printed."""
        return self.run_with(self.arguments(*more), timeout)

    def run_with(self, arguments: list[str], timeout: float = 240) -> tuple[int, str]:
        """The same with these arguments."""
        if self.launcher is not None:
            with mock.patch.dict(os.environ, self.environment):
                return _run_here(arguments, self.launcher)
        return finish(self.start_command(arguments), timeout)

    def command(self, *arguments: str, timeout: float = 120) -> tuple[int, str]:
        """Another command on the study."""
        return self.run_with([arguments[0], *self.where, *arguments[1:]], timeout)

    def trials(self) -> list[optuna.trial.FrozenTrial]:
        own = f"sqlite:///{self.folder.database}"
        storage = optuna.storages.RDBStorage(self.database or own)
        trials = optuna.load_study(study_name=self.name, storage=storage).get_trials()
        storage.engine.dispose()
        return trials

    def states(self) -> list[str]:
        return [trial.state.name for trial in self.trials()]

    def events(self, number: int) -> list[Event]:
        return read_events(self.trial(number).events)

    def last_word(self, number: int) -> Event:
        """The latest that a trial told of its training."""
        return last_word(self.trial(number))

    def processes(self) -> list[psutil.Process]:
        """Every live process that any run of this studio has started."""
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def ranks(self) -> list[psutil.Process]:
        """The forked ranks: processes whose output goes to a rank's log."""
        return [p for p in self.processes() if "rank" in _output_of(p)]

    def wait_for_event(self, number: int, kind: str, count: int = 1, seconds: float = 60) -> None:
        wait_until(
            lambda: sum(e.event == kind for e in self.events(number)) >= count,
            seconds,
            f"{count} {kind} events of trial {number}",
        )

    def wait_for_silence(self, seconds: float = 15) -> None:
        """Until no process of any run is left."""
        wait_until(lambda: not self.processes(), seconds, f"an end of {self.processes()}")

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return (
                process.status() != psutil.STATUS_ZOMBIE and process.environ().get(_TAG) == self.tag
            )
        except (psutil.Error, OSError):
            return False


def _run_here(arguments: list[str], launcher: LocalLauncher) -> tuple[int, str]:
    """The command within this process; the launcher stays open for the next."""
    lent = mock.Mock(wraps=launcher, close=lambda: None)
    with (
        mock.patch("orchestrator.launcher.open.LocalLauncher", return_value=lent),
        mock.patch("orchestrator.running.session.cpu_cores", return_value=1),
        mock.patch.object(sys, "argv", ["run_study.sh", *arguments]),
        contextlib.redirect_stdout(io.StringIO()) as output,
        contextlib.redirect_stderr(output),
    ):
        try:
            main()
        except SystemExit as exit:
            return int(exit.code or 0), output.getvalue()
    raise AssertionError("the command ends with an exit code")


def _output_of(process: psutil.Process) -> str:
    try:
        return Path(f"/proc/{process.pid}/fd/1").readlink().name
    except OSError:
        return ""


def finish(process: subprocess.Popen[str], timeout: float = 240) -> tuple[int, str]:
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        output, _ = process.communicate()
        raise AssertionError(f"no end within {timeout} s:\n{output}") from None
    return process.returncode, output


def wait_until(condition: Any, seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"no {what} within {seconds} s"
        time.sleep(0.05)


def last_word(trial: TrialFolder) -> Event:
    """The latest that was told of training, behind which stands what the devices were used for."""
    events = reversed(read_events(trial.events))
    return next(event for event in events if not isinstance(event, Used | Left))
