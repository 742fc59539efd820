"""Which trials and cases a gallery is asked for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.showing.gallery import kept_cases
from orchestrator.showing.look import Look
from orchestrator.showing.report import leading_trials
from orchestrator.study.find import chosen_trial
from orchestrator.study.record import TrialRecord
from protocol.errors import SettingsError
from protocol.folders import RunFolder, TrialFolder

_MOST = 6
_NAME = re.compile(
    r"(?P<prefix>fold(?P<fold>\d+)_)?(?P<split>train|validation|test)_(?P<index>\d+)"
)


@dataclass(frozen=True)
class Sample:
    """One sample of a split, of a fold where there are several."""

    split: str
    index: int
    fold: int | None = None

    @property
    def prefix(self) -> str:
        """Of the names of what is kept of it."""
        return "" if self.fold is None else f"fold{self.fold}_"

    @property
    def name(self) -> str:
        """That of what is kept of it; several pictures of a sample have words behind it."""
        return f"{self.prefix}{self.split}_{self.index:04d}"

    def is_of(self, case: str) -> bool:
        """Whether a kept case is of this sample."""
        return case == self.name or case.startswith(f"{self.name}_")

    def training(self, folder: TrialFolder) -> RunFolder:
        """Where the checkpoint is that shows it."""
        return folder if self.fold is None else folder.fold(self.fold)


def sample_of(case: str) -> Sample | None:
    """The sample that a case's name tells of; None where it tells of none."""
    found = _NAME.match(case)
    if found is None:
        return None
    fold = None if found["fold"] is None else int(found["fold"])
    return Sample(found["split"], int(found["index"]), fold)


def chosen_trials(look: Look, asked: str | None) -> list[TrialRecord]:
    """The trials that `3,7,best` names, each once; without a word the best few.

    Raises:
        SettingsError: there is no such trial, or none is complete.
    """
    if asked is not None:
        names = [name.strip() for name in asked.split(",") if name.strip()]
        found = {t.number: t for t in (_trial(look, name) for name in names)}
        if not found:
            raise SettingsError("found none, expected such as 3,7,best", key="--trials")
        return list(found.values())
    trials = leading_trials(look) or look.record.ranked[:_MOST]
    if not trials:
        raise SettingsError(
            f"no trial of study {look.name!r} is complete; --trials names others that have a "
            "checkpoint"
        )
    return trials


def _trial(look: Look, name: str) -> TrialRecord:
    try:
        return chosen_trial(look.record, name)
    except SettingsError as error:
        raise SettingsError(error.problem, key="--trials") from None


def chosen_samples(
    look: Look, trials: Sequence[TrialRecord], case: str | None, split: str
) -> list[Sample]:
    """The sample that `--case` names; without a word all that these trials kept something of.

    Raises:
        SettingsError: it names none.
    """
    kept = kept_cases(look, trials)
    if case is None:
        known = dict.fromkeys(sample for sample in map(sample_of, kept) if sample is not None)
        folds = look.settings.get("folds", 1) != 1
        return list(known) or [Sample("validation", 0, 0 if folds else None)]
    if case.isdecimal():
        folds = look.settings.get("folds", 1) != 1
        return [Sample(split, int(case), 0 if folds else None)]
    sample = sample_of(case)
    if sample is None:
        there = f"; kept are {', '.join(kept[:8])}" if kept else ""
        raise SettingsError(
            f"found {case!r}, expected a sample's number in the split or a name such as "
            f"validation_0003{there}",
            key="--case",
        )
    return [sample]
