"""A seeded simulation of the deciding half, for interleavings that real processes are too slow for.

The runner, queue, verdict, settling and asking are the real ones, over a launcher that pretends.
What survives a kill is what would: the database and the files. A kill falls before or behind any
single write; the ranks go with the orchestrator and lose what was not in a checkpoint.
"""

from __future__ import annotations

import contextlib
import os
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import optuna
from optuna.storages import InMemoryStorage

from orchestrator.launcher.base import Attempt, Exit
from orchestrator.launcher.gpus import Gpus
from orchestrator.proposing.ask import Asker
from orchestrator.proposing.decisions import read_decisions
from orchestrator.running.clock import Clock
from orchestrator.running.runner import Runner
from orchestrator.running.slots import Slot
from orchestrator.settings.schema import Settings
from orchestrator.settings.space import Space
from orchestrator.study.journal import note, read_journal
from orchestrator.verifying.findings import Report
from orchestrator.verifying.replay import check_decisions, check_suggestions
from orchestrator.verifying.trials import TrialChecker, check_numbers
from protocol.folders import StudyFolder, TrialFolder
from protocol.messages import (
    Failed,
    Finished,
    NonFinite,
    Plan,
    Stop,
    Stopped,
    Validated,
    append_event,
)
from protocol.recipe import TrainingRecipe
from tests.searches import make_settings

EPOCHS = 4
SEARCH = {"x": {"low": 0.0, "high": 1.0}, "width": {"low": 1, "high": 5}}
SAMPLERS = ({"kind": "random"}, {"kind": "tpe", "n_startup_trials": 3}, {"kind": "qmc"})
PRUNERS = (
    {"kind": "none"},
    {"kind": "median", "n_startup_trials": 1},
    {"kind": "asha", "min_resource": 1, "reduction_factor": 2},
    {"kind": "hyperband", "min_resource": 1, "reduction_factor": 2},
)
# Everything that the deciding half writes, by where it is looked up.
_WRITES = (
    "orchestrator.proposing.decisions.append_line",
    "orchestrator.running.trial.save_plan",
    "orchestrator.running.trial.write_text",
    "orchestrator.running.ending.settle.save_message",
    "orchestrator.running.ending.settle.cut_best",
    "orchestrator.running.ending.settle.forget_superseded",
    "orchestrator.running.ending.settle.annotate_trial",
    "orchestrator.running.ending.ends.point_to_best",
    "orchestrator.running.clock.write_json",
)
_STORED = (
    "create_new_trial",
    "set_trial_param",
    "set_trial_state_values",
    "set_trial_intermediate_value",
    "set_trial_user_attr",
    "set_trial_system_attr",
)


class Killed(BaseException):
    """Where a kill -9 of the orchestrator falls."""


@dataclass
class Fate:
    """When kills fall, and what happens to ranks: all of it follows from a seed."""

    random: random.Random
    kills: int  # of the orchestrator, still to come
    rank_faults: int  # still to come
    counts: Counter[str] = field(default_factory=Counter)
    _until: int = 0

    def __post_init__(self) -> None:
        self._draw()

    def _draw(self) -> None:
        self._until = self.random.randrange(1, 120)

    def write(self) -> None:
        """A write is about to happen, or has happened."""
        if self.kills == 0:
            return
        self._until -= 1
        if self._until == 0:
            self.kills -= 1
            self.counts["orchestrator killed"] += 1
            self._draw()
            raise Killed

    def strikes_rank(self) -> bool:
        if self.rank_faults and self.random.random() < 0.1:
            self.rank_faults -= 1
            return True
        return False


def curve(plan: Plan, epoch: int) -> float:
    """The objective of an epoch: of the plan alone, as in a training that is exact."""
    x, width = plan.recipe.given["x"], plan.recipe.given["width"]
    return float((x - 0.3) ** 2 + 1 / epoch + (width * epoch) % 3 * 0.1)


class PretendedAttempt:
    """The ranks of one launch: an epoch at a time, and now and then something worse."""

    waits = False
    place = ""

    def __init__(self, folder: TrialFolder, plan: Plan, fate: Fate) -> None:
        self._folder, self._plan, self._fate = folder, plan, fate
        self._ready = os.open(os.devnull, os.O_RDONLY)  # always readable
        self._deaf = fate.random.randrange(3)  # epochs until a request to stop is seen
        self._exit: Exit | None = None
        self._epoch = int(self._checkpoint.read_text()) if self._checkpoint.exists() else 0
        self._told = self._epochs_told()

    @property
    def _checkpoint(self) -> Path:
        return self._folder.path / "epoch"

    def _epochs_told(self) -> set[int]:
        from protocol.messages import read_events

        told = read_events(self._folder.events)
        return {event.epoch for event in told if isinstance(event, Validated)}

    def fileno(self) -> int:
        return self._ready

    def kill(self) -> None:
        if self._exit is None:
            self._exit = Exit(vanished=True)

    def recall(self) -> None:
        pass

    def close(self) -> None:
        os.close(self._ready)

    def poll(self) -> Exit | None:
        if self._exit is None:
            self._go_on()
        return self._exit

    def _go_on(self) -> None:
        if self._fate.strikes_rank():
            self._fate.counts["rank killed"] += 1
            self._exit = Exit(codes={0: -9}, first=0)
        elif self._folder.stop.exists() and self._deaf == 0:
            reason = Stop(self._folder.stop.read_text().split()[0])
            self._tell(Stopped, reason=reason, step=self._epoch * 10)
        elif self._plan.recipe.given["x"] > 0.9 and self._epoch == 1:
            self._tell(NonFinite, step=11, where="loss", ranks=[0], losses={"a": 1e999})
        elif self._plan.recipe.given["x"] < 0.05:
            event = Failed(
                attempt=self._plan.attempt, rank=0, error="ValueError", message="no", traceback=""
            )
            append_event(self._folder.events, event)
            self._exit = Exit(codes={0: 1}, first=0)
        elif self._epoch == EPOCHS:
            best = min(range(1, EPOCHS + 1), key=lambda epoch: curve(self._plan, epoch))
            metrics = {"error": curve(self._plan, best)}
            self._tell(Finished, step=40, early=False, best_epoch=best, metrics=metrics)
        else:
            self._train()

    def _train(self) -> None:
        if self._folder.stop.exists():
            self._deaf = max(0, self._deaf - 1)
        self._epoch += 1
        self._checkpoint.write_text(str(self._epoch))
        if self._epoch not in self._told:
            self._told.add(self._epoch)
            event = Validated(
                attempt=self._plan.attempt,
                epoch=self._epoch,
                step=self._epoch * 10,
                metrics={"error": curve(self._plan, self._epoch)},
                losses={},
                learning_rate=0.1,
                seconds=1.0,
                best=False,
                last=self._epoch == EPOCHS,
            )
            append_event(self._folder.events, event)

    def _tell(self, kind: Any, **told: Any) -> None:
        append_event(
            self._folder.events, kind(attempt=self._plan.attempt, epoch=self._epoch, **told)
        )
        self._exit = Exit(codes={0: 0})


class PretendedLauncher:
    def __init__(self, fate: Fate) -> None:
        self._fate = fate
        self.attempts: list[PretendedAttempt] = []

    def launch(self, folder: TrialFolder, plan: Plan) -> PretendedAttempt:
        self._fate.write()
        attempt = PretendedAttempt(folder, plan, self._fate)
        self.attempts.append(attempt)
        return attempt

    def take_up(self, folder: TrialFolder) -> None:
        return None

    def avoid(self, attempt: Attempt) -> bool:
        return False

    def sweep(self, folder: TrialFolder) -> int:
        return 0

    def close(self) -> None:
        for attempt in self.attempts:
            attempt.close()


class NoInterrupts:
    count = 0
    left_by = None

    def __init__(self) -> None:
        self._read = os.open(os.devnull, os.O_RDONLY)

    def fileno(self) -> int:
        return self._read

    def drain(self) -> None:
        pass

    def close(self) -> None:
        os.close(self._read)


@dataclass
class World:
    """A study's database and folder, which outlive every kill."""

    path: Path
    settings: Settings
    slots: int = 1
    storage: InMemoryStorage = field(default_factory=InMemoryStorage)

    def __post_init__(self) -> None:
        self.folder = StudyFolder(self.path / "small")
        self.folder.path.mkdir(parents=True)
        direction = optuna.study.StudyDirection.MINIMIZE
        self.storage.create_new_study([direction], "small")

    @property
    def study(self) -> optuna.Study:
        return optuna.Study("small", self.storage)

    def run(self, fate: Fate) -> None:
        """The same command, again and again, until a run comes to its end."""
        while True:
            with contextlib.ExitStack() as stack:
                self._kill_between(stack, fate)
                try:
                    self._one_run(stack, fate)
                    return
                except Killed:
                    continue

    def _one_run(self, stack: contextlib.ExitStack, fate: Fate) -> None:
        study, settings = self.study, self.settings
        space = Space.of(settings.search, settings.recipe, TrainingRecipe().model_dump())
        launcher, interrupts = PretendedLauncher(fate), NoInterrupts()
        stack.callback(launcher.close)
        stack.callback(interrupts.close)
        line = note(self.folder, settings, space, len(study.get_trials(deepcopy=False)))
        session: Any = SimpleNamespace(
            check_hold=lambda: None,
            folder=self.folder,
            name="small",
            settings=settings,
            study=study,
            launcher=launcher,
            slots=[Slot(("cpu",), 1)] * self.slots,
            interrupts=interrupts,
            display=mock.MagicMock(),
            surroundings={},
            check_data=lambda: None,
            known=SimpleNamespace(identity="", inputs={}),
            steering=SimpleNamespace(look=lambda study: [], paused=lambda: None),
            steered=list,
            gpus=Gpus([]),
        )
        asker = Asker(self.folder, study, settings, space, line)
        Runner(session, asker, Clock(self.folder.clock)).run()

    def _kill_between(self, stack: contextlib.ExitStack, fate: Fate) -> None:
        def killing(write: Any) -> Any:
            def guarded(*arguments: Any, **options: Any) -> Any:
                fate.write()
                result = write(*arguments, **options)
                fate.write()
                return result

            return guarded

        for name in _WRITES:
            module, _, attribute = name.rpartition(".")
            write = getattr(__import__(module, fromlist=["_"]), attribute)
            stack.enter_context(mock.patch(name, killing(write)))
        for name in _STORED:
            write = getattr(self.storage, name)
            stack.enter_context(mock.patch.object(self.storage, name, killing(write)))

    def table(self) -> list[Any]:
        """What a study came to."""
        return [
            (trial.params, trial.state.name, trial.value, trial.intermediate_values)
            for trial in self.study.get_trials(deepcopy=False)
        ]

    def problems(self) -> list[str]:
        """What must hold whatever was killed, and when."""
        trials = self.study.get_trials(deepcopy=False)
        found = []
        if len(trials) != self.settings.n_trials:
            found.append(f"{len(trials)} trials instead of {self.settings.n_trials}")
        left = [t.number for t in trials if not t.state.is_finished()]
        if left:
            found.append(f"trials {left} were left")
        report = Report()
        check_numbers(report, self.study, self.folder)
        checker = TrialChecker(report, self.folder, self.settings.objective, by_fold=False)
        for trial in trials:
            checker.check(trial)
        journal = read_journal(self.folder)
        check_suggestions(report, self.study, journal)
        check_decisions(report, self.study, journal, read_decisions(self.folder))
        found += [f"{finding.place}: {finding.problem}" for finding in report.found]
        litter = [str(path) for path in self.folder.path.rglob(".*")]
        return found + [f"left behind: {path}" for path in litter]


def settings_for(chance: random.Random) -> Settings:
    return make_settings(
        SEARCH,
        chance.choice(SAMPLERS),
        pruner=chance.choice(PRUNERS),
        recipe={"epochs": EPOCHS},
        n_trials=8,
        seed=chance.randrange(1000),
        limits={"relaunches": 100, "same_failures": 100},
    )


def simulate(seed: int, place: Path) -> tuple[list[str], Counter[str]]:
    """One study disturbed and one that is not; what is wrong with it, and the faults by kind."""
    chance = random.Random(seed)
    settings = settings_for(chance)
    slots = chance.choice((1, 1, 2, 3))
    disturbed = World(place / f"{seed}-disturbed", settings, slots)
    fate = Fate(random.Random(seed), kills=chance.randrange(1, 12), rank_faults=chance.randrange(4))
    disturbed.run(fate)
    problems = disturbed.problems()
    if slots == 1:
        unbroken = World(place / f"{seed}-unbroken", settings)
        unbroken.run(Fate(random.Random(seed + 1), kills=0, rank_faults=0))
        problems += unbroken.problems()
        for number, (one, other) in enumerate(
            zip(unbroken.table(), disturbed.table(), strict=True)
        ):
            if one != other:
                problems.append(f"trial {number}: unbroken {one}, disturbed {other}")
    fate.counts["trials"] = settings.n_trials * (2 if slots == 1 else 1)
    return problems, fate.counts
