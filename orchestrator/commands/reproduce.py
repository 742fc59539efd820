"""`reproduce`: train a trial once more from its plan alone, and compare it epoch by epoch."""

from __future__ import annotations

import select
import shutil
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field

from rich.console import Console
from rich.text import Text

from orchestrator import words
from orchestrator.launcher.base import Attempt, Launcher
from orchestrator.launcher.open import open_launcher
from orchestrator.live.console import PatientConsole
from orchestrator.running.folds import unique_epochs
from orchestrator.running.interrupts import Interrupts
from orchestrator.running.session import DONE, INTERRUPTED, NOT_DONE, held
from orchestrator.running.verdict import judge
from orchestrator.study.find import require_study
from orchestrator.verifying.comparison import (
    Difference,
    changed_between,
    changed_surroundings,
    difference,
)
from protocol.bests import forget_superseded
from protocol.doors import Call
from protocol.errors import SettingsError, UserError
from protocol.files import LineTail, write_text
from protocol.folders import StudyFolder, TrialFolder
from protocol.messages import (
    Ending,
    Plan,
    Stop,
    Validated,
    load_outcome,
    load_plans,
    parse_event,
    read_events,
    save_plan,
)

_LOOK_SECONDS = 0.2


def reproduce_trial(folder: StudyFolder, number: int) -> int:
    """Train trial `number` again beside the study, print how it compares; the exit code.

    Raises:
        SettingsError: there is no such study, or no such trial that was trained.
        UserError: it cannot be trained here.
        StudyInUse: another process reproduces a trial of this study.
    """
    require_study(folder)
    original = folder.trial(number)
    plans, recorded = load_plans(original), _recorded(original)
    if not plans or not recorded:
        raise SettingsError(
            f"trial {number} of study {folder.name!r} has validated no epoch that could be "
            "compared",
            key="--trial",
        )
    if plans[-1].script is not None:
        raise SettingsError(
            f"trial {number} is of a script, which decides alone whether it does the same twice; "
            "its command stands in the trial's log, for you to run it again",
            key="--trial",
        )
    console = PatientConsole()
    place = folder.reproductions.trial(number)
    with Interrupts() as interrupts, held(folder.reproductions):
        shutil.rmtree(place.path, ignore_errors=True)
        place.path.mkdir(parents=True)
        log = folder.reproductions.path / "forkserver.log"
        launcher = open_launcher(log, plans[-1].family, stages=plans[-1].stages)
        with closing(launcher):
            _say(console, changed_between(plans))
            plan = _plan_now(plans[-1], launcher).model_copy(
                update={"digest_epochs": [n for n, event in recorded.items() if event.digest]}
            )
            again = _Again(console, place, recorded, interrupts)
            again.train(launcher, plan)
        return _conclude(console, again, plans[-1], plan)


def _recorded(original: TrialFolder) -> dict[int, Validated]:
    """The epochs that count: of a pruned trial those up to the decision."""
    outcome = load_outcome(original.outcome)
    epochs = unique_epochs(read_events(original.events))
    if outcome is not None and outcome.ending is Ending.PRUNED:
        epochs = [event for event in epochs if event.epoch <= outcome.epoch]
    return {event.epoch: event for event in epochs}


def _plan_now(plan: Plan, launcher: Launcher) -> Plan:
    """The plan of the trial's last attempt, as one that begins from nothing."""
    there = {f"cuda:{gpu['index']}" for gpu in launcher.call(Call.DEVICES, {})["cuda"]}
    missing = sorted({device for device in plan.devices if device != "cpu"} - there)
    if missing:
        raise UserError(
            f"the trial was trained on {', '.join(missing)}, which this machine has not"
        )
    return plan.model_copy(
        update={
            "attempt": 0,
            "surroundings": launcher.call(Call.SURROUNDINGS, {}),
            "deterministic": plan.deterministic or plan.devices[0] != "cpu",
            "pictures": 0,
            "nodes": None,  # as many ranks on this machine: where they are changes nothing
        }
    )


@dataclass
class _Again:
    """The second training, followed while it runs."""

    console: Console
    place: TrialFolder
    recorded: dict[int, Validated]
    interrupts: Interrupts
    first: Difference | None = None  # where it first differs
    _left: set[int] = field(init=False)

    def __post_init__(self) -> None:
        self._left = set(self.recorded)

    def train(self, launcher: Launcher, plan: Plan) -> None:
        """Train until every recorded epoch is compared.

        Raises:
            UserError: it ended before.
        """
        save_plan(self.place, plan)
        epochs = words.counted(len(self.recorded), "epoch")
        self.console.print(
            Text(f"Training trial {plan.trial} again, {epochs}, in {self.place.path}")
        )
        attempt = launcher.launch(self.place, plan)
        try:
            self._follow(attempt)
        finally:
            attempt.kill()
            launcher.sweep(self.place)
            for run in self.place.runs():
                forget_superseded(run)  # nobody decides upon this trial

    @property
    def compared(self) -> int:
        """Epochs."""
        return len(self.recorded) - len(self._left)

    @property
    def interrupted(self) -> bool:
        return self.interrupts.count > 0

    def _follow(self, attempt: Attempt) -> None:
        tail = LineTail(self.place.events)
        while True:
            exit = attempt.poll()
            for line in tail.new_lines():
                event = parse_event(line)
                if isinstance(event, Validated):
                    self._compare(event)
            if (not self._left or self.interrupted) and not self.place.stop.exists():
                write_text(self.place.stop, Stop.INTERRUPT.value)
            if exit is not None:
                break
            if self.interrupts.count > 1:
                return
            select.select([attempt.fileno(), self.interrupts.fileno()], [], [], _LOOK_SECONDS)
            self.interrupts.drain()
        if self._left and not self.interrupted:
            verdict = judge(read_events(self.place.events), exit, None)
            reason = verdict.reason if verdict else "the processes went away without a word"
            raise UserError(f"it ended before it had come as far as the trial: {reason}")

    def _compare(self, event: Validated) -> None:
        if event.epoch not in self._left:
            return
        self._left.remove(event.epoch)
        found = difference(self.recorded[event.epoch], event)
        told = "identical" if found is None else f"differs: {found.sentence}"
        self.console.print(
            Text(f"epoch {event.epoch} of {max(self.recorded)}: {told}"), soft_wrap=True
        )
        self.first = self.first or found


def _conclude(console: Console, again: _Again, then: Plan, now: Plan) -> int:
    if again.interrupted and again.first is None:
        return INTERRUPTED
    epochs = words.counted(again.compared, "epoch")
    if again.first is None:
        told = again.recorded.values()
        digests = any(event.digest or event.best_digest for event in told)
        what = (
            "weights and metrics" if digests else "metrics, for it recorded no digests of weights"
        )
        console.print(Text(f"Identical in {epochs}: {what}.", style="bold green"), soft_wrap=True)
        return DONE
    console.print(
        Text(
            f"Differs from epoch {again.first.epoch} on: {again.first.sentence}.", style="bold red"
        ),
        soft_wrap=True,
    )
    _say(console, changed_surroundings(then.surroundings, now.surroundings))
    if "cpu" not in then.devices and not then.deterministic:
        _say(console, ["the trial was trained without deterministic: true, as GPUs are by default"])
    return NOT_DONE


def _say(console: Console, sentences: Iterable[str]) -> None:
    for sentence in sentences:
        console.print(Text(f"Note: {sentence}"), soft_wrap=True)
