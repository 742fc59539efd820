import os

from data.caches.places import cache_places, fingerprint, obstacle, user_cache


def test_the_place_that_is_asked_for_is_the_only_one(tmp_path):
    assert cache_places(tmp_path, tmp_path / "mine") == (tmp_path / "mine",)
    assert cache_places(tmp_path, None) == (tmp_path / ".cache", user_cache())


def test_a_folder_is_made_and_what_is_in_its_way_is_said(tmp_path):
    assert obstacle(tmp_path / "a" / "b") is None
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").touch()
    assert obstacle(tmp_path / "file").startswith(f"{tmp_path / 'file'} cannot be made (")


def test_a_folder_that_may_only_be_read_is_said_to_be(tmp_path, monkeypatch):
    monkeypatch.setattr("data.caches.places.os.access", lambda path, mode: False)
    assert obstacle(tmp_path) == f"{tmp_path} may not be written to"


def test_a_fingerprint_tells_a_file_from_others_and_from_itself_after_a_change(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    for path in (one, other):
        path.write_text("x")
        os.utime(path, ns=(0, 5))
    assert fingerprint(one) == [str(one), 1, 5]
    assert fingerprint(one) != fingerprint(other)
    assert fingerprint(one, "it") == fingerprint(other, "it") == ["it", 1, 5]
    one.write_text("xy")
    assert fingerprint(one) != [str(one), 1, 5]


def test_the_users_cache_follows_the_desktop_standard(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache() == tmp_path / "tomostudy"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_cache() == tmp_path / ".cache" / "tomostudy"
