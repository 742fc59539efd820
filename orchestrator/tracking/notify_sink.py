"""A word to people when a trial is the best so far, one fails, or the search ends.

By a command of theirs or a webhook. What fails is a line in the log, and nothing more.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

from orchestrator.tracking.mirror import OpenSink
from orchestrator.tracking.state import ToldState
from protocol.folders import StudyFolder, TrialFolder
from protocol.messages import Ending, Event, Outcome, Plan, latest_plan, load_outcome

log = logging.getLogger(__name__)

_FAILURES = (Ending.FAILED, Ending.LOST, Ending.HUNG)
_SECONDS = 30.0  # that a command or a server may take


@dataclass(frozen=True, kw_only=True)
class Ways:
    """How people are told, and of what."""

    study: str
    what: Sequence[str]  # of `end`, `failure` and `best`
    command: str | None = None  # of the shell
    variable: str | None = None  # of the environment, that holds a webhook's URL

    def tell(self, what: str, text: str, **details: Any) -> None:
        """Tell, if it is one of the things to be told; never raises.

        Args:
            what: has happened.
            text: a sentence.
            details: for programs, by name.
        """
        if what not in self.what:
            return
        message = {"text": text, "what": what, "study": self.study, **details}
        if self.command is not None:
            _logged(self.command, lambda: _run(self.command or "", message))
        if self.variable is not None:
            _logged(f"the webhook of {self.variable}", lambda: self._post(message))

    def say_farewell(self, last_word: str | None) -> None:
        """Tell how the search ended; it has said nothing where it was killed."""
        if last_word is None:
            text = f"Study {self.study}: its search was killed; the same command goes on with it"
            self.tell("failure", text)
        elif last_word:
            self.tell(**json.loads(last_word))

    def _post(self, message: dict[str, Any]) -> str:
        url = os.environ[self.variable or ""]
        try:
            request = urllib.request.Request(
                url,
                data=json.dumps(message).encode(),
                headers={"Content-Type": "application/json"},
                method="POST",
            )
            with urllib.request.urlopen(request, timeout=_SECONDS):
                return ""
        except urllib.error.HTTPError as error:
            return f"it answered {error.code}"
        except (OSError, ValueError, HTTPException) as error:  # some of them repeat the URL
            reason = getattr(error, "reason", "")
            return f"{type(error).__name__} {reason}".replace(url, "…").strip()


def _run(command: str, message: dict[str, Any]) -> str:
    told = {f"TOMOSTUDY_{name.upper()}": str(value) for name, value in message.items()}
    process = subprocess.Popen(
        command,
        shell=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | told,
        text=True,
        errors="replace",
        process_group=0,  # so that what it starts can be ended with it
    )
    try:
        output, _ = process.communicate(json.dumps(message), timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return f"it took longer than {_SECONDS:g} s"
    said = output.strip().splitlines()
    code = process.returncode
    return "" if code == 0 else f"it left with {code}: {' '.join(said[-1:])}"


def _logged(way: str, send: Any) -> None:
    try:
        trouble = send()
    except Exception as error:  # whatever people's own ways do
        trouble = f"{type(error).__name__}: {error}"
    if trouble:
        log.warning("%s: %s", way, trouble)


class Notices:
    """Opens the trials' sinks, which share what is the best so far.

    Args:
        study: its folder.
        state: how far trials were told. Of a study that is older than it, what has ended is old.
        ways: how people are told.
    """

    def __init__(self, study: StudyFolder, state: ToldState, ways: Ways) -> None:
        self._ways = ways
        self._best: float | None = None
        new = state.is_new
        for folder in study.trials():
            outcome, plan = load_outcome(folder.outcome), latest_plan(folder)
            if outcome is None or plan is None:
                continue
            told = state.of(folder.number)
            told.ended = told.ended or new
            if told.ended:
                self.is_best(outcome, plan)

    def is_best(self, outcome: Outcome, plan: Plan) -> bool:
        """Whether a trial is better than all before, and from now on one of these."""
        value = outcome.value
        if outcome.ending is not Ending.COMPLETED or value is None:
            return False
        if not plan.objective.better(value, self._best):
            return False
        self._best = value
        return True

    @property
    def open(self) -> OpenSink:
        """What opens a trial's sink."""
        return lambda trial, plan: NotifySink(trial, plan, self, self._ways)


class NotifySink:
    """One trial, of which only the end matters."""

    def __init__(self, trial: TrialFolder, plan: Plan, notices: Notices, ways: Ways) -> None:
        self._trial, self._plan = trial, plan
        self._notices, self._ways = notices, ways

    def planned(self, plan: Plan) -> None:
        pass

    def event(self, event: Event) -> None:
        pass

    def ended(self, outcome: Outcome) -> None:
        number, study = self._trial.number, self._ways.study
        details = {"trial": number, "value": outcome.value, "folder": str(self._trial.path)}
        if outcome.ending in _FAILURES:
            text = f"Study {study}: trial {number} failed: {outcome.reason}"
            self._ways.tell("failure", text, **details)
        elif self._notices.is_best(outcome, self._plan):
            text = f"Study {study}: trial {number} is the best so far, "
            text += f"{self._plan.objective.metric} {outcome.value:.5g}"
            self._ways.tell("best", text, **details)

    def close(self) -> None:
        pass
