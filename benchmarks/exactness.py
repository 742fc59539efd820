"""Is a trial that was killed three times the same, bit for bit, as one that never was?

Every family's tiny preset is trained with one rank, two and three, and in three stages where its
model can be cut; then again, one rank killed by SIGKILL at three random places (a step of the
optimiser or a validation), each followed by a resume from whatever checkpoint there is. Compared
are all epochs' metrics, losses, learning rates and digests (of those that were kept and of every
best one), those of the end, and the two files' digests, which cover weights, their average,
optimiser, schedule, progress and random numbers.

    python -m benchmarks.exactness
    python -m benchmarks.exactness --families diffx2ct --families direct64 --seed 7

It ends with 1 if anything differs. The table is in docs/measured.md.
"""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import Annotated, Any

import typer

from models.pipelined import PipelinedFamily
from models.registry import load_family
from protocol.folders import TrialFolder
from protocol.messages import Finished, Started, Validated, load_plan
from tests.contracts.bench import plan_trial
from tests.contracts.cases import CASES, Case
from tests.ranks import events, fork_server
from worker.processes.rank import run_rank
from worker.ranks.trial import open_family
from worker.training import train
from worker.training.checkpoint import read_checkpoint

KILLS = 3
CHECKPOINT_SECONDS = 0.3  # so that some steps are taken again
PATIENCE = 900.0  # seconds for any one attempt
COMPARED = ("step", "metrics", "losses", "learning_rate", "best", "best_digest")


@dataclass(frozen=True)
class Layout:
    """How a trial's ranks share the work."""

    name: str
    ranks: int
    stages: int = 1


LAYOUTS = [Layout("1 rank", 1), Layout("2 ranks", 2), Layout("3 ranks", 3)]
STAGED = Layout("3 stages", 3, stages=3)


@dataclass(frozen=True)
class Death:
    """Where a rank kills itself: before a step, or in the validation after it."""

    rank: int
    step: int
    validating: bool


def main(
    families: Annotated[list[str] | None, typer.Option(help="all, if none is named")] = None,
    seed: Annotated[int, typer.Option(help="of the places of the kills")] = 0,
    epochs: Annotated[int, typer.Option(help="of each training")] = 2,
) -> None:
    chance, differences = random.Random(seed), 0
    columns = [layout.name for layout in [*LAYOUTS, STAGED]]
    print(f"| family | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    with tempfile.TemporaryDirectory() as scratch:
        for case in CASES:
            if case.plugged or (families and case.name not in families):
                continue
            prepare(case, Path(scratch))
            answers = []
            for layout in [*LAYOUTS, STAGED]:
                answer = "–"
                if layout.stages == 1 or issubclass(load_family(case.name), PipelinedFamily):
                    place = Path(scratch) / f"{case.name}_{layout.name.replace(' ', '_')}"
                    answer = compare(case, Path(scratch), place, layout, epochs, chance)
                    differences += answer != "identical"
                answers.append(answer)
            print(f"| {case.name} | {' | '.join(answers)} |", flush=True)
    raise typer.Exit(int(differences > 0))


def prepare(case: Case, scratch: Path) -> None:
    """Make a family's data, and train the one that its trials start from."""
    if case.parent is not None and not (scratch / "trained" / case.parent.name).exists():
        prepare(case.parent, scratch)
        trial = plan_trial(case.parent, scratch, scratch / "trained" / case.parent.name, pictures=0)
        attempt(trial, 1, None)
    plan = load_plan(plan_trial(case, scratch, scratch / "prepared" / case.name).plan)
    open_family(plan.family, plan.recipe.own, plan.data).dataset("train")


def compare(
    case: Case, scratch: Path, place: Path, layout: Layout, epochs: int, chance: random.Random
) -> str:
    """Train with kills and without; "identical", or where it first differs."""

    def planned(name: str, number: int, **changes: Any) -> TrialFolder:
        return plan_trial(
            case,
            scratch,
            place / name,
            attempt=number,
            devices=["cpu"] * layout.ranks,
            stages=layout.stages,
            pictures=0,
            recipe={"epochs": epochs},
            **changes,
        )

    whole = planned("whole", 0, digest_epochs=list(range(1, epochs + 1)))
    if attempt(whole, layout.ranks, None) != {0}:
        return f"failed: {whole.path}"
    steps = events(whole, Started)[0].steps_per_epoch
    for number, death in enumerate([*deaths(chance, layout, steps, epochs), None]):
        trial = planned("killed", number, checkpoint_seconds=CHECKPOINT_SECONDS)
        codes = attempt(trial, layout.ranks, death)
        if (-signal.SIGKILL in codes) != (death is not None):
            return f"not killed at {death}: {codes}"
    return first_difference(trial, whole)


def deaths(chance: random.Random, layout: Layout, steps: int, epochs: int) -> list[Death]:
    """Three places in order; a validation counts as one, like a step."""
    places = [(step, False) for step in range(1, steps * epochs)]
    places += [(steps * epoch, True) for epoch in range(1, epochs + 1)]
    chosen = sorted(chance.sample(places, KILLS))
    return [Death(chance.randrange(layout.ranks), *place) for place in chosen]


def attempt(trial: TrialFolder, ranks: int, death: Death | None) -> set[int | None]:
    """Run the ranks to their ends, all of them once one was killed; their exit codes."""
    context = fork_server()
    processes = [context.Process(target=_rank, args=(trial, rank, death)) for rank in range(ranks)]
    for process in processes:
        process.start()
    deadline = time.monotonic() + PATIENCE
    while (
        running := [each for each in processes if each.is_alive()]
    ) and time.monotonic() < deadline:
        wait([each.sentinel for each in running], timeout=1.0)
        if any(each.exitcode == -signal.SIGKILL for each in processes):
            break
    for process in processes:
        process.kill()
        process.join()
    return {process.exitcode for process in processes}


def first_difference(trial: TrialFolder, whole: TrialFolder) -> str:
    """The first epoch that is not the same, or "identical"."""
    found, expected = (events(each, Validated) for each in (trial, whole))
    if [event.epoch for event in found] != [event.epoch for event in expected]:
        return f"epochs {[event.epoch for event in found]}"
    for one, other in zip(found, expected, strict=True):
        names = (*COMPARED, "digest") if one.digest else COMPARED
        unequal = [name for name in names if getattr(one, name) != getattr(other, name)]
        if unequal:
            return f"differs in epoch {one.epoch}: {', '.join(unequal)}"
    ends = [[(e.digest, e.best_digest) for e in events(each, Finished)] for each in (trial, whole)]
    files = [
        [(read_checkpoint(each.last)[1], read_checkpoint(each.best)[1])] for each in (trial, whole)
    ]
    return "identical" if ends[0] == ends[1] == files[0] == files[1] else "differs at the end"


def _rank(trial: TrialFolder, rank: int, death: Death | None) -> None:
    log = os.open(trial.rank_log(rank), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if death is not None and death.rank == rank:
        _die_at(death)
    raise SystemExit(run_rank(trial, rank, lambda: None))


def _die_at(death: Death) -> None:
    """Have this process kill itself there."""
    step, metrics = train.take_step, train.Training.metrics

    def dying_step(trial: Any, learner: Any, *rest: Any) -> Any:
        if learner.progress.step >= death.step and not death.validating:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(trial, learner, *rest)

    def dying_metrics(self: train.Training) -> dict[str, float]:
        if self.learner.progress.step >= death.step:
            os.kill(os.getpid(), signal.SIGKILL)
        return metrics(self)

    train.take_step = dying_step
    train.Training.metrics = dying_metrics  # type: ignore[method-assign]


if __name__ == "__main__":
    typer.run(main)
