"""A ledger in words: the largest first, and units that suit what was used."""

from orchestrator.ledger.account import GIB, Account
from orchestrator.reporting.ledger_text import account_sentence


def test_hours_memory_and_energy_of_a_search():
    account = Account(
        kept=8.123 * 3600,
        repeated=1801.0,
        waiting=12.0,
        peak=int(10.23 * GIB),
        joules=3.1 * 3.6e6,
        metered=8.623 * 3600,
    )
    assert account_sentence(account) == (
        "8.63 device-hours: 8.12 h trained and kept, 30 min 01 s lost and repeated, 12 s waiting; "
        "at most 10.2 GiB of a device; 3.1 kWh"
    )


def test_of_a_short_search_and_energy_that_is_known_of_a_part():
    account = Account(pruned=90.0, diverged=30.0, peak=2**20, joules=36e3, metered=60.0)
    assert account_sentence(account) == (
        "2 min 00 s of devices: 1 min 30 s pruned, 30 s diverged; at most 1 MiB of a device; "
        "0.01 kWh in 1 min 00 s of that"
    )
