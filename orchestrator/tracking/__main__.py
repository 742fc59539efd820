"""The process that tracks a study: `python -m orchestrator.tracking STUDY_FOLDER LIBRARY`.

It ends when its standard input does, which is when the orchestrator closes it or dies.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import get_args

from orchestrator.tracking.mirror import Mirror, OpenSink
from orchestrator.tracking.state import Library, ToldState, state_file, tracked_folder
from protocol.folders import StudyFolder

log = logging.getLogger("orchestrator.tracking")

_LOOK_SECONDS = 1.0


def main() -> None:
    """Track until the pipe from the orchestrator ends."""
    asked = _arguments()
    logging.basicConfig(
        format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO
    )
    input = _Input(asked.flush_seconds)
    study = StudyFolder(Path(asked.study))
    state = ToldState(state_file(study, asked.library))
    try:
        open_sink, farewell = _opens(study, asked, state)
    except Exception:
        log.exception("%s cannot be imported: nothing is tracked", asked.library)
        return
    state.save()
    mirror = Mirror(study, state, open_sink)
    log.info("tracking %s by %s", study.name, asked.library)
    while not input.over.wait(_LOOK_SECONDS):
        mirror.look()
    mirror.close(asked.flush_seconds)
    farewell(input.last_word)
    log.info("tracking of %s ended", study.name)
    # All runs are closed: what a library still does at the exit would only wait for a lost server.
    os._exit(0)


def _opens(
    study: StudyFolder, asked: argparse.Namespace, state: ToldState
) -> tuple[OpenSink, Callable[[str | None], None]]:
    """What opens a trial's run, and what is done with the orchestrator's last word.

    Each library is imported where it is used alone.
    """
    if asked.library == "wandb":
        from orchestrator.tracking.wandb_sink import WandbRuns

        return WandbRuns(study, asked.mode, asked.project, asked.entity, state.token).open, _silent
    if asked.library == "tensorboard":
        from orchestrator.tracking.tensorboard_sink import open_run

        return open_run(tracked_folder(study, asked.library)), _silent
    from orchestrator.tracking.notify_sink import Notices, Ways

    ways = Ways(
        study=study.name, what=asked.of.split(","), command=asked.command, variable=asked.variable
    )
    return Notices(study, state, ways).open, ways.say_farewell


def _silent(last_word: str | None) -> None:
    """For libraries that have no use for it."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("study")
    parser.add_argument("library", choices=get_args(Library))
    parser.add_argument("--flush_seconds", type=float, required=True)
    parser.add_argument("--mode", choices=["online", "offline"])
    parser.add_argument("--project")
    parser.add_argument("--entity")
    parser.add_argument("--of", default="")
    parser.add_argument("--command")
    parser.add_argument("--variable")
    return parser.parse_args()


class _Input:
    """What the orchestrator says, until its end; some time after that this process ends anyhow."""

    def __init__(self, flush_seconds: float) -> None:
        self.over = threading.Event()
        self.last_word: str | None = None  # none of an orchestrator that was killed
        self._flush_seconds = flush_seconds
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        said = sys.stdin.buffer.read()
        self.last_word = said.decode().strip() if said.endswith(b"\n") else None
        self.over.set()
        time.sleep(self._flush_seconds)
        log.warning("what was left could not be sent within %.0f s", self._flush_seconds)
        os._exit(1)


if __name__ == "__main__":
    main()
