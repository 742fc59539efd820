"""Events on their way through a file."""

import os
from pathlib import Path

import pytest

from protocol.files import LineTail
from protocol.messages import (
    Failed,
    Progressed,
    append_event,
    load_plan,
    parse_event,
    read_events,
    save_plan,
)
from tests.ranks import make_plan

# What `str.splitlines` takes for the end of a line, and what JSON leaves as it is.
SEPARATORS = ["\u2028", "\u2029", "\x85", "\x1c", "\x0b", "\r"]


@pytest.mark.parametrize("separator", SEPARATORS, ids=repr)
def test_an_event_is_one_line_whatever_its_words_hold(tmp_path, separator):
    told = Failed(
        attempt=0, rank=1, error="ValueError", message=f"one{separator}two", traceback=separator
    )
    path = tmp_path / "events.jsonl"
    tail = LineTail(path)
    append_event(path, told)
    append_event(path, told)
    assert read_events(path) == [told, told]
    assert [parse_event(line) for line in tail.new_lines()] == [told, told]


def test_a_line_that_a_kill_has_torn_waits_and_then_counts(tmp_path):
    told = Failed(attempt=0, rank=0, error="E", message="", traceback="")
    path = tmp_path / "events.jsonl"
    line = told.model_dump_json()
    path.write_text(line[:20])
    tail = LineTail(path)
    assert (tail.new_lines(), read_events(path)) == ([], [])
    path.write_text(line + "\n")
    assert [parse_event(line) for line in tail.new_lines()] == read_events(path) == [told]


@pytest.fixture
def synced(monkeypatch):
    """The names of the files that were brought to the disk, in order."""
    names = []
    sync = os.fsync

    def note_and_sync(descriptor):
        names.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", note_and_sync)
    return names


def test_no_power_cut_takes_an_event_along_that_was_acted_on(tmp_path, synced):
    path = tmp_path / "events.jsonl"
    look = {"epoch": 1, "step": 1, "losses": {}, "learning_rate": 0.1, "gradient_norm": 1.0}
    append_event(path, Progressed(attempt=0, **look))
    assert synced == []
    append_event(path, Failed(attempt=0, rank=0, error="E", message="", traceback=""))
    assert synced == ["events.jsonl"]


def test_no_power_cut_takes_a_plan_out_of_the_list_that_is_in_force(tmp_path, synced):
    folder = make_plan(tmp_path)
    plan = load_plan(folder.plan)
    synced.clear()
    save_plan(folder, plan)
    assert synced[0] == "plans.jsonl"
