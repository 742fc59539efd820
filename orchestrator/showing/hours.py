"""Device-hours as the ledger has them, for people."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.ledger.account import USES, Account
from orchestrator.reporting.ledger_text import account_sentence, hours
from orchestrator.showing.look import Look


@dataclass(frozen=True, kw_only=True)
class Use:
    """What a part of the hours went into."""

    name: str
    hours: str
    share: float  # of all


def told(look: Look) -> str:
    """One sentence; empty where nothing was counted."""
    total = look.ledger.total
    return account_sentence(total) + "." if total.seconds else ""


def uses(look: Look) -> list[Use]:
    """What the hours went into, the most first; what nothing went into is left out."""
    total = look.ledger.total
    found = [
        Use(name=name, hours=hours(total.hours(use)), share=total.hours(use) / total.device_hours)
        for use, name in USES.items()
        if total.hours(use)
    ]
    return sorted(found, key=lambda use: -use.share)


def of_trial(look: Look, number: int) -> Account:
    """A trial's account; an empty one where it was never launched."""
    return look.ledger.trials.get(number, Account())
