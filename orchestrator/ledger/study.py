"""A study's ledger: its trials' accounts, and the time in which its devices had no trial."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce

from orchestrator.ledger.account import Account
from orchestrator.ledger.trial import ended_account, kept_account, trial_account
from orchestrator.study.record import StudyRecord, TrialRecord
from protocol.folders import StudyFolder


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """What a study's devices went into."""

    trials: Mapping[int, Account]  # by number; those that were never launched are not in it
    idle: float = 0.0  # seconds, times devices, that the study held without a trial on them

    @property
    def total(self) -> Account:
        """Of all trials, with the idle time under `waiting`."""
        return reduce(Account.__add__, self.trials.values(), Account(waiting=self.idle))


def study_ledger(folder: StudyFolder, record: StudyRecord, since: float = math.inf) -> Ledger:
    """The ledger of a study, also of one that runs.

    What an ended trial came to stands in the study; only of the others are files read.

    Args:
        folder: the study's.
        record: its trials.
        since: when somebody began to work on it who still does.
    """
    accounts = {
        trial.number: account
        for trial in record.trials
        if (account := _account(folder, trial, since)).seconds
    }
    held = _held_seconds(folder)
    used = sum(account.seconds for account in accounts.values())
    return Ledger(trials=accounts, idle=max(0.0, held - used))


def _account(folder: StudyFolder, trial: TrialRecord, since: float) -> Account:
    kept = kept_account(trial.notes)
    if kept is not None:
        return kept
    if trial.state == "waiting":
        return Account()
    place = folder.trial(trial.number)
    return trial_account(place, None, since) if trial.state == "running" else ended_account(place)


def _held_seconds(folder: StudyFolder) -> float:
    """For how long the study held devices, times devices; 0 where nobody counted."""
    try:
        return float(json.loads(folder.clock.read_text())["device_seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0
