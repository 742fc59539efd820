import os

import pytest

from protocol.letters import post, read


def test_of_two_who_write_the_same_letter_one_succeeds(tmp_path):
    assert post(tmp_path / "order_0.json", {"folder": "trial_1"})
    assert not post(tmp_path / "order_0.json", {"closed": "idle"})
    assert read(tmp_path / "order_0.json") == {"folder": "trial_1"}
    assert [path.name for path in tmp_path.iterdir()] == ["order_0.json"]


def test_there_is_no_letter_before_it_is_whole(tmp_path):
    assert read(tmp_path / "letter") is None
    for torn in ("", '{"a": 1'):
        (tmp_path / "letter").write_text(torn)
        assert read(tmp_path / "letter") is None
    (tmp_path / "letter").write_text('{"a": 1}\n')
    assert read(tmp_path / "letter") == {"a": 1}


def test_a_letter_is_ours_though_a_lost_answer_made_the_system_ask_twice(tmp_path, monkeypatch):
    link = os.link

    def twice(source, target):
        link(source, target)
        link(source, target)

    monkeypatch.setattr(os, "link", twice)
    assert post(tmp_path / "order_0.json", {"folder": "trial_1"})
    assert not post(tmp_path / "order_0.json", {"closed": "idle"})


def test_nothing_is_written_into_a_folder_that_was_put_away(tmp_path):
    with pytest.raises(FileNotFoundError):
        post(tmp_path / "gone" / "exit_0_0.json", {})
