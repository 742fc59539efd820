"""Accounts add up, and come back from the study as they were put there."""

import json

from orchestrator.ledger.account import Account


def test_a_sum_has_every_use_of_both_and_the_higher_peak():
    one = Account(kept=3600.0, waiting=10.0, peak=7, joules=5.0, metered=3610.0)
    both = one + Account(kept=3600.0, repeated=50.0, peak=9)
    assert both == Account(
        kept=7200.0, waiting=10.0, repeated=50.0, peak=9, joules=5.0, metered=3610.0
    )
    assert both.seconds == 7260.0
    assert both.hours("kept") == 2.0


def test_what_was_packed_is_what_is_unpacked_also_beside_what_another_version_adds():
    account = Account(pruned=12.5, repeated=0.25, peak=2**31, joules=10.0, metered=12.75)
    packed = json.loads(json.dumps(account.packed()))
    assert "kept" not in packed
    assert Account.unpacked({**packed, "by_wind": 3}) == account
