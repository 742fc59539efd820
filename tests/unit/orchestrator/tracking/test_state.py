import pytest

from orchestrator.tracking.state import ToldState


def test_what_was_told_is_there_after_a_restart(tmp_path):
    path = tmp_path / "tracked.json"
    state = ToldState(path)
    state.of(3).events = 17
    state.of(4).ended = True
    state.save()
    again = ToldState(path)
    assert again.token == state.token
    assert (again.of(3).events, again.of(3).ended, again.of(4).ended) == (17, False, True)
    assert again.of(5).events == 0


@pytest.mark.parametrize("content", ["", "{", '{"trials": {"x": {}}}', "[]"])
def test_a_damaged_file_means_that_nothing_was_told(tmp_path, content):
    path = tmp_path / "tracked.json"
    path.write_text(content)
    assert ToldState(path).of(0).events == 0


def test_two_studies_of_one_name_are_told_apart(tmp_path):
    assert ToldState(tmp_path / "a").token != ToldState(tmp_path / "b").token


def test_the_file_is_only_written_when_something_changed(tmp_path):
    path = tmp_path / "tracked.json"
    state = ToldState(path)
    state.save()
    path.unlink()
    state.save()
    assert not path.exists()
    state.of(0).events = 1
    state.save()
    assert path.exists()
