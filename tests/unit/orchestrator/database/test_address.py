import sqlite3
from urllib.parse import quote

import optuna
import pytest
from sqlalchemy.engine import make_url

from orchestrator.database.address import (
    address,
    own_address,
    reason,
    redacted,
    shown,
    spelled,
    sqlite_file,
)
from protocol.errors import SettingsError


@pytest.mark.parametrize("name", ["q?mark", "per%20cent", "ha#sh", "größe", "{brace}", "a b+c@d:e"])
def test_a_folder_may_be_called_anything(name, tmp_path):
    path = tmp_path / name / "study.db"
    path.parent.mkdir()
    url = own_address(path)
    assert sqlite_file(url) == sqlite_file(make_url(spelled(url))) == path
    optuna.create_study(storage=spelled(url), study_name="x")
    assert sqlite3.connect(path).execute("SELECT study_name FROM studies").fetchall() == [("x",)]
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("postgresql://me:${PW}@host:5432/studies", "p@ss:w/rd?x"),
        ("postgresql://me:${PW}@host:5432/studies", quote("p@ss:w/rd?x", safe="")),
        ("${PW}", "postgresql://me:p@ss:w/rd%3Fx@host:5432/studies"),
        ("${PW}", f"postgresql://me:{quote('p@ss:w/rd?x', safe='')}@host:5432/studies"),
    ],
)
def test_a_password_may_hold_any_character_and_is_shown_nowhere(template, value, monkeypatch):
    monkeypatch.setenv("PW", value)
    url = address(template)
    assert (url.username, url.password, url.host, url.port) == ("me", "p@ss:w/rd?x", "host", 5432)
    assert url.database == "studies"
    assert shown(url) == "postgresql://me:***@host:5432/studies"
    said = RuntimeError(f"no route to p@ss:w/rd?x or {value}\nmore")
    assert "ss" not in reason(said, url)


def test_a_password_among_the_options_is_hidden_as_well(monkeypatch):
    monkeypatch.setenv("PW", "p&ss=w?rd")
    url = address("postgresql://me@host/studies?password=${PW}&sslmode=require")
    assert url.query == {"password": "p&ss=w?rd", "sslmode": "require"}
    assert "ss=w" not in shown(url) + redacted("refused: p&ss=w?rd", url)


def test_a_variable_may_be_a_files_path(tmp_path, monkeypatch):
    monkeypatch.setenv("PLACE", f"{tmp_path}/q?mark 100%25")
    assert str(sqlite_file(address("sqlite:///${PLACE}/x.db"))) == f"{tmp_path}/q?mark 100%25/x.db"


def test_an_at_sign_among_the_options_is_no_part_of_a_password(monkeypatch):
    monkeypatch.setenv("PW", "secret")
    url = address("postgresql://me:${PW}@host/studies?application_name=me@home")
    assert (url.password, url.host, url.query["application_name"]) == ("secret", "host", "me@home")


@pytest.mark.parametrize("template", ["nonsense", "", "postgresql://host:port/db"])
def test_what_is_no_url_is_refused_with_an_example(template):
    with pytest.raises(SettingsError, match="expected a URL such as"):
        address(template)


def test_a_driver_that_is_missing_is_named_with_what_brings_it():
    url = address("postgresql://me@host/studies")
    error = ImportError("Failed to import DB access module")
    error.__cause__ = ModuleNotFoundError("No module named 'psycopg2'", name="psycopg2")
    assert "python -m pip install psycopg2-binary" in reason(error, url)


def test_a_url_without_a_password_changes_no_sentence():
    assert redacted("plain", address("postgresql://me@host/studies")) == "plain"
