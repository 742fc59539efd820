"""`predict` where torch is: files in, files out, by a trial's model or those of its folds."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from protocol.errors import SettingsError
from worker.calls.opened import open_checkpoint
from worker.calls.prediction.kinds import make_task
from worker.calls.prediction.run import Run, Telling
from worker.calls.prediction.task import Wanted
from worker.machine.memory import limit_memory


def predict(
    *,
    checkpoints: Sequence[str],
    inputs: Sequence[str],
    out: str,
    progress: str,
    into_file: bool = False,
    format: str | None = None,
    overwrite: bool = False,
    device: str = "cpu",
    batch: int | None = None,
    memory_gb: float | None = None,
    options: Mapping[str, Any] | None = None,
    postprocessing: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """What the models in `checkpoints`, averaged, make of the inputs.

    Args:
        out: the folder of results, or with `into_file` the only result's file.
        progress: a file to write into how far it is.
        options: of single kinds, by name.
        postprocessing: what an evaluation found for each checkpoint:
            {"sha256", "settings", "source"}.

    Returns:
        {"family", "things", "checkpoints": [{"path", "epoch", "sha256"}], "made", "kept",
        "left_out": {case: sentence}, "notes": [str], "last": what is told of the last case,
        "batch", "seconds"}.

    Raises:
        CheckpointError, SettingsError, DataError: one of them is at fault.
        UserError: the results cannot be written.
    """
    telling = Telling(Path(progress))
    opened = [open_checkpoint(Path(path), device) for path in checkpoints]
    if memory_gb is not None:
        limit_memory(memory_gb, [opened[0].device])
    wanted = Wanted(
        inputs=tuple(map(Path, inputs)),
        format=format,
        batch=batch,
        memory_gb=memory_gb,
        options=options or {},
    )
    left_out: dict[str, str] = {}
    made = make_task(opened, wanted, postprocessing, telling.say, left_out)
    if format is not None and format not in made.task.formats:
        raise SettingsError(
            f"found {format!r}, expected {', '.join(made.task.formats)}, as results of "
            f"{made.task.things[1]} are",
            key="--format",
        )
    run = Run(made.task, telling, left_out=left_out)
    started = time.monotonic()
    of_models = {
        "family": made.family,
        "checkpoints": [
            {"path": path, "epoch": one.epoch, "sha256": one.sha256}
            for path, one in zip(checkpoints, opened, strict=True)
        ],
    }
    if into_file:
        run.into_file(Path(out))
    else:
        settings = {"models": [one.sha256 for one in opened], **made.task.settings()}
        run.into_folder(Path(out), settings, of_models, overwrite=overwrite)
    return {
        **of_models,
        "things": made.task.things[run.made != 1],
        "made": run.made,
        "kept": run.kept,
        "left_out": run.left_out,
        "notes": [*made.notes, *made.task.notes],
        "last": dict(run.last),
        "batch": made.ensemble.batch,
        "seconds": time.monotonic() - started,
    }
