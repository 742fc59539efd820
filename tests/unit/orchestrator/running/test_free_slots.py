"""Which slots are free once trials came and went, more were taken up, or a device failed."""

from types import SimpleNamespace
from unittest import mock

import pytest

from orchestrator.launcher.gpus import Gpus
from orchestrator.running.free_slots import FreeSlots
from orchestrator.running.slots import Slot
from tests.searches import NUMBERS, make_settings

FIRST, SECOND = (Slot((f"cuda:{index}",), 1) for index in range(2))


@pytest.fixture
def session():
    settings = make_settings(NUMBERS, {})
    return SimpleNamespace(
        settings=settings, slots=[FIRST, SECOND], gpus=Gpus([]), display=mock.Mock()
    )


def test_a_slot_is_free_until_it_is_lent_and_again_once_it_is_taken_back(session):
    slots = FreeSlots(session)
    slots.lend(FIRST)
    assert slots.find() == SECOND
    slots.lend(SECOND)
    assert slots.find() is None
    slots.take_back(FIRST)
    assert slots.find() == FIRST


def test_a_slot_that_two_trials_were_found_in_is_free_once_both_are_gone(session):
    session.slots = [FIRST]
    slots = FreeSlots(session)
    assert [slots.lend_any(), slots.lend_any()] == [FIRST, FIRST]
    slots.take_back(FIRST)
    assert slots.find() is None
    slots.take_back(FIRST)
    assert slots.find() == FIRST


def test_a_slot_with_a_device_that_failed_is_free_no_more(session):
    slots = FreeSlots(session)
    slots.lend(FIRST)
    assert slots.set_aside(["cuda:0"], "ECC") is None
    slots.take_back(FIRST)
    assert (slots.find(), slots.devices_held) == (SECOND, 1)
    trouble = slots.set_aside(["cuda:1"], "ECC")
    assert "no device is left" in str(trouble)
    assert slots.find() is None
