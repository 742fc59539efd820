"""What a power cut or a bad disk does to a study's files while nothing runs."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from protocol.folders import RunFolder, StudyFolder, TrialFolder
from protocol.messages import Finished, FoldFinished, read_events

TORN = ("events.jsonl", "plans.jsonl", "decisions.jsonl", "journal.jsonl")


def damage_checkpoint(chance: random.Random, folder: StudyFolder) -> str:
    """Spoil the last checkpoint of a trial that has an earlier one; what was done, or nothing.

    Not of one that is trained to its end, or a fold that is: nobody needs it, so it stays damaged.
    """
    runs = [run for trial in _unfinished(folder) for run in _in_training(trial)]
    found = [run.last for run in runs if run.previous.exists() and run.last.exists()]
    way = chance.choice(list(_WAYS))
    return f"checkpoint {way}" if _spoil(chance, found, way) else ""


def damage_best(chance: random.Random, folder: StudyFolder) -> Path | None:
    """Spoil the best weights of a trial, which need not be anywhere else; whose."""
    runs = [run for trial in _unfinished(folder) for run in trial.runs()]
    found = [run.best for run in runs if run.best.exists()]
    return _spoil(chance, found, chance.choice(list(_WAYS)))


def _spoil(chance: random.Random, found: list[Path], way: str) -> Path | None:
    if not found:
        return None
    path = chance.choice(found)
    # Another file: the one that is there may have a second name.
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(_WAYS[way](chance, content))
    return path


def tear_line(chance: random.Random, folder: StudyFolder) -> str:
    """Leave a file's last line half-written; what was done, or nothing."""
    name, begins = chance.choice(TORN), chance.random() < 0.5
    per_trial = [trial.path / name for trial in _unfinished(folder)]
    present = [path for path in (folder.path / name, *per_trial) if path.exists()]
    if not present:
        return ""
    path = chance.choice(present)
    content = path.read_bytes()
    last = content.rstrip(b"\n").rpartition(b"\n")[2]
    cut = chance.randrange(1, max(2, len(last)))
    path.write_bytes(content + last[:cut] if begins else content + b"{" + bytes(20))
    return f"torn last line of {name}"


def _unfinished(folder: StudyFolder) -> list[TrialFolder]:
    return [trial for trial in folder.trials() if not trial.outcome.exists()]


def _in_training(trial: TrialFolder) -> list[RunFolder]:
    events = read_events(trial.events)
    if any(isinstance(event, Finished) for event in events):
        return []
    over = {event.fold for event in events if isinstance(event, FoldFinished)}
    return [run for run in trial.runs() if run not in [trial.fold(fold) for fold in over]]


def _truncated(chance: random.Random, content: bytes) -> bytes:
    return content[: chance.randrange(len(content))]


def _zeroed(chance: random.Random, content: bytes) -> bytes:
    """A page, or all of it."""
    if chance.random() < 0.5:
        return bytes(len(content))
    start = chance.randrange(len(content)) // 4096 * 4096
    page = content[start : start + 4096]
    return content[:start] + bytes(len(page)) + content[start + 4096 :]


def _flipped(chance: random.Random, content: bytes) -> bytes:
    spoilt = bytearray(content)
    spoilt[chance.randrange(len(spoilt))] ^= 1 << chance.randrange(8)
    return bytes(spoilt)


_WAYS: dict[str, Callable[[random.Random, bytes], bytes]] = {
    "truncated": _truncated,
    "zeroed": _zeroed,
    "bit-flipped": _flipped,
}
