import os
import select
import signal

import pytest

from orchestrator.running.interrupts import Interrupts


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_are_counted_and_wake_a_waiting_loop(number):
    with Interrupts() as interrupts:
        assert interrupts.count == 0
        os.kill(os.getpid(), number)
        readable, _, _ = select.select([interrupts.fileno()], [], [], 5)
        assert readable
        assert interrupts.count == 1
        interrupts.drain()
        assert not select.select([interrupts.fileno()], [], [], 0)[0]
        os.kill(os.getpid(), number)
        assert interrupts.count == 2


def test_draining_what_is_empty_does_not_block():
    with Interrupts() as interrupts:
        interrupts.drain()


def test_afterwards_signals_do_again_what_they_did(monkeypatch):
    seen = []
    earlier = signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
    try:
        with Interrupts():
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        assert seen == [signal.SIGTERM]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGTERM, earlier)


def test_a_hangup_that_nohup_ignores_stays_ignored():
    earlier = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupts() as interrupts:
            os.kill(os.getpid(), signal.SIGHUP)
            assert interrupts.count == 0
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, earlier)
