"""Whether checkpoints are whole, and what training they hold: JSON in, JSON out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from protocol.errors import CheckpointError
from worker.training.archive import is_as_written
from worker.training.checkpoint import read_checkpoint


def digests(paths: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Read each checkpoint to its end, and hash it anew.

    Returns:
        By path {"digest", "problem", "epoch", "step"}: the digest that events give of the same
        training and "", or "" and what is wrong with the file, in a sentence. `step` is that of a
        `last.pth` and None of others.
    """
    return {path: _digest(Path(path)) for path in paths}


def _digest(path: Path) -> dict[str, Any]:
    try:
        content, digest = read_checkpoint(path)
        as_written = is_as_written(path)
    except (CheckpointError, OSError) as error:
        return _problem(str(error))
    if not as_written:
        return _problem(f"{path} has changed since it was written, if not in what it holds")
    step = content["training"]["progress"]["step"] if "training" in content else None
    return {"digest": digest, "problem": "", "epoch": content.get("epoch"), "step": step}


def _problem(sentence: str) -> dict[str, Any]:
    return {"digest": "", "problem": sentence, "epoch": None, "step": None}
