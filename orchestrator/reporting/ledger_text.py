"""What a ledger says, in words."""

from __future__ import annotations

from orchestrator import words
from orchestrator.ledger.account import GIB, HOUR, JOULES_PER_KWH, USES, Account
from orchestrator.ledger.forecast import Forecast


def account_sentence(account: Account) -> str:
    """`12.4 device-hours: 8.1 h trained and kept, 20 min 02 s waiting; at most 10.2 GiB; …`."""
    parts = [account_hours(account)]
    if account.peak:
        parts.append(f"at most {memory(account.peak)} of a device")
    if account.metered:
        parts.append(energy(account))
    return "; ".join(parts)


def account_hours(account: Account) -> str:
    """`12.4 device-hours: 8.1 h trained and kept, 20 min 02 s waiting`, the largest first."""
    uses = sorted(USES, key=lambda use: -account.hours(use))
    shown = [
        f"{hours(account.hours(use))} {USES[use]}"
        for use in uses
        if account.hours(use) * HOUR >= 0.5
    ]
    return ": ".join(part for part in (whole(account), ", ".join(shown)) if part)


def whole(account: Account) -> str:
    """`12.4 device-hours`, or `20 min 02 s` of devices."""
    if account.device_hours >= 1:
        return f"{_digits(account.device_hours)} device-hours"
    return f"{hours(account.device_hours)} of devices"


def hours(value: float) -> str:
    """`12.4 h`, and less than one as a duration."""
    return f"{_digits(value)} h" if value >= 1 else words.duration(value * HOUR)


def memory(peak: float) -> str:
    """Bytes as `10.2 GiB`, or `3.4 MiB`."""
    gib = peak / GIB
    return f"{_digits(gib)} GiB" if gib >= 0.1 else f"{_digits(1024 * gib)} MiB"


def energy(account: Account) -> str:
    """What NVML told; of how much, where that is not all."""
    told = f"{_digits(account.joules / JOULES_PER_KWH)} kWh"
    if account.metered < 0.99 * account.seconds:
        told += f" in {hours(account.metered / HOUR)} of that"
    return told


def time_left(forecast: Forecast | None) -> str:
    """How long a study will still take, as far as that is known."""
    if forecast is None:
        return "time left not known yet"
    middle = words.duration(forecast.seconds)
    low, high = words.duration(forecast.low), words.duration(forecast.high)
    return f"about {middle} left" + (f" ({low} to {high})" if low != high else "")


def _digits(value: float) -> str:
    return words.number(round(value, 1) if value >= 100 else float(f"{value:.3g}"))
