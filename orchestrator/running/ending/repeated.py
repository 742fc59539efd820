"""A failure that repeats in trial after trial is not theirs: the budget is not spent on it."""

from __future__ import annotations

import re

from protocol.errors import UserError
from protocol.messages import Ending, Outcome

_FAILURES = (Ending.FAILED, Ending.LOST, Ending.HUNG)
_OF_THE_POINT = (Ending.INVALID, Ending.MEMORY, Ending.NONFINITE)
_PATIENCE = 5  # times as many of these: a search may well meet some points that cannot be trained


class Repeated:
    """Counts the trials in a row that ended with the same failure."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._what = ""
        self._count = 0

    def trouble(self, outcome: Outcome) -> UserError | None:
        """What to end the run for, once as many trials in a row as are allowed failed alike."""
        most = self.most
        if outcome.ending in _OF_THE_POINT:
            most *= _PATIENCE
        elif outcome.ending not in _FAILURES:
            self._count = 0
            return None
        # Ranks, steps, process ids and addresses differ from trial to trial.
        what = f"{outcome.ending}: " + re.sub(r"0x[0-9a-f]+|\d+", "#", outcome.reason)
        self._count = self._count + 1 if what == self._what else 1
        self._what = what
        if self._count < most:
            return None
        self._count = 0
        return UserError(
            f"{most} trials in a row ended with the same failure, so that it is hardly "
            f"theirs: {outcome.reason}; mend it and type the same command again, or allow more "
            "(limits.same_failures)"
        )
