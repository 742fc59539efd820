import threading

import pytest

from worker.training.background import Background


def test_what_follows_is_called_in_the_callers_thread_in_order():
    background, told = Background(), []

    def note(word):
        told.append((word, threading.current_thread() is threading.main_thread()))

    free = threading.Event()
    background.begin(lambda: free.wait(30.0) and "first", note)
    background.after(lambda: note("then"))
    background.look()
    assert told == []
    assert background.busy
    free.set()
    background.begin(lambda: "second", note)
    assert told == [("first", True), ("then", True)]
    background.wait()
    assert told[2:] == [("second", True)]
    assert not background.busy


def test_without_work_under_way_nothing_is_put_off():
    told = []
    Background().after(lambda: told.append("now"))
    assert told == ["now"]


def test_an_error_is_raised_where_it_is_waited_for_and_nothing_follows_from_it():
    background, told = Background(), []
    background.begin(lambda: 1 / 0, told.append)
    with pytest.raises(ZeroDivisionError):
        background.wait()
    background.wait()
    assert told == []
