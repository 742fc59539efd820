import time

import pytest

from protocol.messages import Stop
from worker.ranks.stopping import LOOK_SECONDS, StopRequest


@pytest.mark.parametrize("reason", list(Stop))
def test_a_request_is_seen_with_its_reason(tmp_path, reason):
    (tmp_path / "stop").write_text(f"{reason}\n")
    request = StopRequest(tmp_path / "stop", looks=True)
    assert request.requested()
    assert request.reason is reason


def test_a_request_without_a_known_reason_is_an_interrupt(tmp_path):
    (tmp_path / "stop").touch()
    request = StopRequest(tmp_path / "stop", looks=True)
    assert request.requested()
    assert request.reason is Stop.INTERRUPT


def test_without_a_file_there_is_no_request_and_a_later_one_is_seen(tmp_path):
    request = StopRequest(tmp_path / "stop", looks=True)
    assert not request.requested()
    (tmp_path / "stop").write_text("pruned")
    assert not request.requested()  # too soon for another look at the file system
    time.sleep(LOOK_SECONDS)
    assert request.requested()


def test_only_the_rank_that_looks_sees_it(tmp_path):
    (tmp_path / "stop").write_text("pruned")
    assert not StopRequest(tmp_path / "stop", looks=False).requested()


def test_a_request_once_seen_stays_when_its_file_goes(tmp_path):
    (tmp_path / "stop").write_text("pruned")
    request = StopRequest(tmp_path / "stop", looks=True)
    assert request.requested()
    (tmp_path / "stop").unlink()
    time.sleep(LOOK_SECONDS)
    assert request.requested()
