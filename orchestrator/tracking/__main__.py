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
    over = _end_of_input(asked.flush_seconds)
    study = StudyFolder(Path(asked.study))
    state = ToldState(state_file(study, asked.library))
    try:
        open_sink = _opens(study, asked, state.token)
    except Exception:
        log.exception("%s cannot be imported: nothing is tracked", asked.library)
        return
    state.save()
    mirror = Mirror(study, state, open_sink)
    log.info("tracking %s by %s", study.name, asked.library)
    while not over.wait(_LOOK_SECONDS):
        mirror.look()
    mirror.close(asked.flush_seconds)
    log.info("tracking of %s ended", study.name)
    # All runs are closed: what a library still does at the exit would only wait for a lost server.
    os._exit(0)


def _opens(study: StudyFolder, asked: argparse.Namespace, token: str) -> OpenSink:
    """What opens a trial's run; each library is imported where it is used alone."""
    if asked.library == "wandb":
        from orchestrator.tracking.wandb_sink import WandbRuns

        return WandbRuns(study, asked.mode, asked.project, asked.entity, token).open
    from orchestrator.tracking.tensorboard_sink import open_run

    return open_run(tracked_folder(study, asked.library))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("study")
    parser.add_argument("library", choices=get_args(Library))
    parser.add_argument("--flush_seconds", type=float, required=True)
    parser.add_argument("--mode", choices=["online", "offline"])
    parser.add_argument("--project")
    parser.add_argument("--entity")
    return parser.parse_args()


def _end_of_input(flush_seconds: float) -> threading.Event:
    """Set at the end of the input; some time after that, this process ends whatever it does."""
    over = threading.Event()

    def watch() -> None:
        while sys.stdin.buffer.raw.read(4096):  # type: ignore[union-attr]
            pass
        over.set()
        time.sleep(flush_seconds)
        log.warning("what was left could not be sent within %.0f s", flush_seconds)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    return over


if __name__ == "__main__":
    main()
