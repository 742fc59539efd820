"""The process that tracks a study: `python -m orchestrator.tracking STUDY_FOLDER`.

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

from orchestrator.tracking.mirror import Mirror
from orchestrator.tracking.state import ToldState, state_file
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
    try:
        from orchestrator.tracking.wandb_sink import WandbRuns
    except Exception:
        log.exception("wandb cannot be imported: nothing is tracked")
        return
    state = ToldState(state_file(study))
    state.save()
    runs = WandbRuns(study, asked.mode, asked.project, asked.entity, state.token)
    mirror = Mirror(study, state, runs.open)
    log.info("tracking %s, %s", study.name, asked.mode)
    while not over.wait(_LOOK_SECONDS):
        mirror.look()
    mirror.close(asked.flush_seconds)
    log.info("tracking of %s ended", study.name)
    # All runs are closed: what wandb still does at the exit would only wait for a lost server.
    os._exit(0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("study")
    parser.add_argument("--mode", choices=["online", "offline"], required=True)
    parser.add_argument("--project", required=True)
    parser.add_argument("--entity")
    parser.add_argument("--flush_seconds", type=float, required=True)
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
