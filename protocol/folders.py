"""Every path under runs/. Part of the floor: nothing else spells these names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PARENT = "parent.pth"
_LEVELS = 4  # that a fold's checkpoint in a confirmation lies below the study's folder


@dataclass(frozen=True)
class StudyFolder:
    """runs/<study>/"""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def database(self) -> Path:
        return self.path / "study.db"

    @property
    def settings(self) -> Path:
        """The settings in effect, and what was asked for on the command line."""
        return self.path / "study.yml"

    @property
    def data_files(self) -> Path:
        """The files that the study reads, as they were when it began."""
        return self.path / "data_files.json"

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def holder(self) -> Path:
        """By which the holder of the lock is known on other hosts."""
        return self.path / "holder"

    @property
    def stop(self) -> Path:
        """There while somebody outside wants the search to stop, as ^C in its shell would."""
        return self.path / "stop"

    @property
    def requests(self) -> Path:
        """What people ask of the study from other shells, a file each, until it is taken up."""
        return self.path / "requests"

    @property
    def requests_journal(self) -> Path:
        """Every request that was taken up, a line each: who, when, what, and the answer."""
        return self.path / "requests.jsonl"

    @property
    def pause(self) -> Path:
        """There while no trial is to train."""
        return self.path / "pause.json"

    @property
    def ruling(self) -> Path:
        """There once a stop rule has ended the search."""
        return self.path / "ruling.json"

    @property
    def clock(self) -> Path:
        """Seconds searched so far, over all the study's runs."""
        return self.path / "clock.json"

    @property
    def log(self) -> Path:
        """What the orchestrator did, and the traceback of a defect."""
        return self.path / "orchestrator.log"

    @property
    def artifacts(self) -> Path:
        """Pictures as the dashboard wants them."""
        return self.path / "artifacts"

    @property
    def journal(self) -> Path:
        """The settings that were in effect, each with the trial from which they hold."""
        return self.path / "journal.jsonl"

    @property
    def decisions(self) -> Path:
        """What the pruner was asked, what it could see and what it answered, a line a question."""
        return self.path / "decisions.jsonl"

    @property
    def best(self) -> Path:
        """A symbolic link to the best trial's folder."""
        return self.path / "best"

    @property
    def confirmation(self) -> Path:
        """What retraining the best trials with fresh seeds came to."""
        return self.path / "confirmation.json"

    @property
    def report(self) -> Path:
        """What the study found, as a page; may be written anew at any time."""
        return self.path / "report.html"

    @property
    def gallery(self) -> Path:
        """Trials side by side, as a page; likewise."""
        return self.path / "gallery.html"

    @property
    def preflight(self) -> Path:
        """What the largest configuration needs, found before the first trial."""
        return self.path / "preflight.json"

    @property
    def rehearsal(self) -> TrialFolder:
        """Where configurations are tried for that; gone when it is done."""
        return TrialFolder(self.path / "preflight")

    @property
    def confirmations(self) -> StudyFolder:
        """A study of its own in which `confirm` trains the best trials again."""
        return StudyFolder(self.path / "confirm")

    @property
    def reproductions(self) -> StudyFolder:
        """Where `reproduce` trains trials once more; may be deleted."""
        return StudyFolder(self.path / "reproduced")

    @property
    def parent(self) -> Path:
        """Of a dependent study: the checkpoint that its trials start from, its own hold on it."""
        return self.path / _PARENT

    @property
    def jobs(self) -> Path:
        """The jobs of a cluster in which trials run, each a folder; the past ones in ended/."""
        return self.path / "jobs"

    def trial(self, number: int) -> TrialFolder:
        return TrialFolder(self.path / f"trial_{number}")

    def trials(self) -> list[TrialFolder]:
        """The trial folders that exist, by number."""
        found = [
            TrialFolder(path)
            for path in self.path.glob("trial_*")
            if path.name.removeprefix("trial_").isdigit()
        ]
        return sorted(found, key=lambda folder: folder.number)


@dataclass(frozen=True)
class JobFolder:
    """runs/<study>/jobs/<n>/: what an orchestrator and the nodes of a job write to each other."""

    path: Path

    @property
    def number(self) -> int:
        return int(self.path.name)

    @property
    def job(self) -> Path:
        """What the job is for; written before it is submitted."""
        return self.path / "job.json"

    @property
    def id(self) -> Path:
        """The cluster's number for it, once it was submitted."""
        return self.path / "id"

    def log(self, node: int) -> Path:
        """What the program on a node prints that belongs to no rank."""
        return self.path / f"node_{node}.log"

    def began(self, node: int) -> Path:
        """A node's first word."""
        return self.path / f"began_{node}.json"

    def order(self, number: int) -> Path:
        """The trial to train next, or that there is none; whoever writes it first has decided."""
        return self.path / f"order_{number}.json"

    def kill(self, number: int) -> Path:
        """There once the trial of an order is to end at once."""
        return self.path / f"kill_{number}"

    def exit(self, number: int, node: int) -> Path:
        """How the ranks of an order went away on a node."""
        return self.path / f"exit_{number}_{node}.json"


@dataclass(frozen=True)
class RunFolder:
    """What one training leaves: a trial's own folder, or that of one of its folds."""

    path: Path

    @property
    def best(self) -> Path:
        return self.path / "best.pth"

    @property
    def last(self) -> Path:
        return self.path / "last.pth"

    @property
    def previous(self) -> Path:
        """The checkpoint before `last`, used when `last` is damaged."""
        return self.path / "previous.pth"

    def epoch(self, epoch: int) -> Path:
        """A checkpoint kept because every k-th epoch was asked for."""
        return self.path / f"epoch_{epoch}.pth"

    def superseded(self, epoch: int | str) -> Path:
        """The `best` of an epoch, set aside when a later epoch was better."""
        return self.path / f".best_{epoch}.pth"

    @property
    def history(self) -> Path:
        """A line for every validated epoch, for a spreadsheet."""
        return self.path / "history.csv"

    @property
    def history_curve(self) -> Path:
        """The same, drawn."""
        return self.path / "history.png"

    @property
    def pictures(self) -> Path:
        return self.path / "pictures"


@dataclass(frozen=True)
class TrialFolder(RunFolder):
    """runs/<study>/trial_<n>/"""

    @property
    def number(self) -> int:
        return int(self.path.name.removeprefix("trial_"))

    @property
    def plan(self) -> Path:
        """What to do; written by the orchestrator before an attempt is launched."""
        return self.path / "plan.json"

    @property
    def plans(self) -> Path:
        """The plans of all attempts, a line each: what was done where, for good."""
        return self.path / "plans.jsonl"

    @property
    def events(self) -> Path:
        """What happened; appended by the ranks, one JSON object a line."""
        return self.path / "events.jsonl"

    @property
    def outcome(self) -> Path:
        """How the trial ended; written by the orchestrator before the study is told."""
        return self.path / "outcome.json"

    @property
    def attempt(self) -> Path:
        """Where the latest attempt runs: its leader's process id and start, or its job."""
        return self.path / "attempt.json"

    @property
    def stop(self) -> Path:
        """The orchestrator's request to stop at the next step; holds the reason."""
        return self.path / "stop"

    @property
    def reports(self) -> Path:
        """What a user's command has reported, a line each."""
        return self.path / "reports.jsonl"

    @property
    def output(self) -> Path:
        """What a user's command writes: its {folder}."""
        return self.path / "output"

    def halt(self, attempt: int) -> Path:
        """Says to every rank of a user's command that rank 0 has come to an end of it."""
        return self.path / f".halt_{attempt}"

    def done(self, attempt: int, rank: int) -> Path:
        """Says to rank 0 that another rank of a user's command has come to its end."""
        return self.path / f".done_{attempt}_{rank}"

    @property
    def evaluation(self) -> Path:
        """What `evaluate` found, by split."""
        return self.path / "evaluation.json"

    def cases(self, split: str) -> Path:
        """`evaluate`'s line for every case of a split."""
        return self.path / f"evaluation_{split}.csv"

    @property
    def postprocessing(self) -> Path:
        """What tuning the evaluation's post-processing tried, a line for every trial of it."""
        return self.path / "postprocessing.csv"

    @property
    def residuals(self) -> Path:
        """What `evaluate` keeps so as not to run the model again; may be deleted."""
        return self.path / "residuals"

    @property
    def panels(self) -> Path:
        """What the pictures show, as numbers, for the gallery; may be deleted."""
        return self.path / "panels"

    def fold(self, fold: int) -> RunFolder:
        """Of a cross-validated trial: what training on one of its folds left."""
        return RunFolder(self.path / f"fold_{fold}")

    def fold_bests(self, folds: int) -> list[tuple[int, Path]]:
        """Those of its folds that have a best checkpoint, each with that."""
        bests = [(fold, self.fold(fold).best) for fold in range(folds)]
        return [(fold, best) for fold, best in bests if best.exists()]

    def rank_log(self, rank: int) -> Path:
        return self.path / f"rank{rank}.log"

    def stacks(self, attempt: int, node: int = 0) -> Path:
        """Where every rank of a node stood when one of an attempt made no progress for too long."""
        of_node = f"_node{node}" if node else ""
        return self.path / f"stacks_{attempt}{of_node}.txt"

    def runs(self) -> list[RunFolder]:
        """The folders that this trial's checkpoints may lie in, as far as they exist."""
        return [self, *self.folds()] if self.path.exists() else []

    def folds(self) -> list[RunFolder]:
        """Of a cross-validated trial: the folders of the folds begun so far, in order."""
        found = self.path.glob("fold_*")
        return [self.fold(number) for number in sorted(int(p.name.split("_")[1]) for p in found)]

    def sweep(self) -> None:
        """Remove what a kill left: half-written files, and where the ranks of an attempt met.

        None of the trial's processes may live.
        """
        for half in self.path.rglob(".*.partial"):
            half.unlink(missing_ok=True)
        for pattern in (".rendezvous_*", ".halt_*", ".done_*"):
            for meeting in self.path.glob(pattern):
                meeting.unlink(missing_ok=True)

    def rendezvous(self, attempt: int) -> Path:
        """The file through which one attempt's ranks find each other."""
        return self.path / f".rendezvous_{attempt}"


def parent_beside(checkpoint: Path) -> Path:
    """Where an export puts the parent of the model in `checkpoint`."""
    return checkpoint.with_name(_PARENT)


def parent_of(checkpoint: Path, recipe: Mapping[str, Any]) -> Path | None:
    """Where the parent is that a checkpoint with this recipe needs; None where it needs none.

    A study keeps its parent in its folder and an export beside the model, so that either may move.
    """
    recorded = recipe.get("parent_file")
    if recorded is None:
        return None
    folders = checkpoint.absolute().parents[:_LEVELS]
    kept = next((folder / _PARENT for folder in folders if (folder / _PARENT).is_file()), None)
    # Only by its digest can a file that merely has the name be told from the right one.
    unsure = recipe.get("parent_sha256") is None and Path(recorded).is_file()
    return Path(recorded) if kept is None or unsure else kept
