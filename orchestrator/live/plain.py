"""Progress as lines in a log: for a file, a pipe or a batch system."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import IO

from orchestrator.live import sentences
from orchestrator.live.display import Display
from orchestrator.live.progress import StudyProgress, TrialProgress
from orchestrator.study.record import State
from protocol.messages import Outcome


class PlainDisplay(Display):
    """A line for every start and ending, and now and then one for a validated epoch."""

    def __init__(
        self,
        stream: IO[str],
        clock: Callable[[], float] = time.monotonic,
        quiet_seconds: float = 15.0,
    ) -> None:
        super().__init__(clock)
        self._stream = stream
        self._readers = True
        self._quiet_seconds = quiet_seconds
        self._last_epoch_line: dict[int, float] = {}  # by trial

    def notice(self, sentence: str) -> None:
        self._say(sentence)

    def close(self) -> None:
        """Every line is out already."""

    def _opened(self, study: StudyProgress) -> None:
        self._say(sentences.opening(study))

    def _placed(self, trial: TrialProgress) -> None:
        self._say(f"trial {trial.number}: {trial.place}")

    def _started(self, trial: TrialProgress) -> None:
        self._last_epoch_line.pop(trial.number, None)
        self._say(sentences.start(trial))

    def _validated(self, trial: TrialProgress) -> None:
        now = self._clock()
        last = self._last_epoch_line.get(trial.number, trial.since)
        if now - last < self._quiet_seconds:
            return
        self._last_epoch_line[trial.number] = now
        metric = self._study.objective.metric
        self._say(sentences.epoch(trial, metric, trial.seconds_left(now)))

    def _ended(self, number: int, outcome: Outcome, state: State) -> None:
        study = self._study
        self._say(sentences.ending(number, outcome, state, study.objective.metric))
        self._say(f"study {study.name}: {sentences.standing(study, self._clock())}")

    def _say(self, sentence: str) -> None:
        if not self._readers:
            return
        try:
            print(time.strftime("%H:%M:%S"), sentence, file=self._stream, flush=True)
        except (OSError, ValueError):
            # The reader has gone (`| head`, a closed session): that must not end the study.
            self._readers = False
