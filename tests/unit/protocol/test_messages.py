"""Events on their way through a file."""

import pytest

from protocol.files import LineTail
from protocol.messages import Failed, append_event, parse_event, read_events

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
