import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from orchestrator.settings.yaml import dump_yaml, parse_value, parse_yaml, read_mapping
from protocol.errors import SettingsError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5),
        ("1E5", 1e5),
        ("-3e+2", -300.0),
        ("1.5e3", 1500.0),
        (".5e3", 500.0),
        ("1_000e-1", 100.0),
        ("10", 10),
    ],
)
def test_numbers_are_read_as_people_write_them(text, value):
    found = parse_yaml(f"x: {text}", "file.yml")["x"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("text", ["'1e-5'", "e5", "1e", "v1e5"])
def test_what_only_resembles_a_number_stays_text(text):
    assert isinstance(parse_yaml(f"x: {text}", "file.yml")["x"], str)


def test_only_true_and_false_are_truth_values():
    words = parse_yaml("[off, on, yes, no, y, N, true, False]", "file.yml")
    assert words == ["off", "on", "yes", "no", "y", "N", True, False]


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "the key 'a' stands twice"),
        ("a:\n  b: 1\n  b: 2\n", 3, "the key 'b' stands twice"),
        ("a: 1\nb: c: d\n", 2, "mapping values are not allowed here"),
        ("a: 1\n\tb: 2\n", 2, "cannot start any token"),
        ("a: [1, 2\nb: 3\n", 2, "expected ',' or ']'"),
        ("a: 1\nb: {{full}}\n", 2, "expected a word as a key, found brackets"),
        ("? [a, b]\n: 1\n", 1, "expected a word as a key, found brackets"),
        ("a: !!python/object/apply:os.getcwd []\n", 1, "could not determine a constructor"),
    ],
)
def test_bad_yaml_is_refused_with_file_line_and_problem(text, line, problem):
    with pytest.raises(SettingsError) as caught:
        parse_yaml(text, "file.yml")
    message = str(caught.value)
    assert message.startswith(f"file.yml, line {line}: ")
    assert problem in message
    assert "\n" not in message


@pytest.mark.parametrize("text", ["x: 2024-02-31", "x: \x01"])
def test_an_impossible_date_or_character_is_refused_in_one_line(text):
    with pytest.raises(SettingsError, match=r"^file\.yml: not valid YAML: ") as caught:
        parse_yaml(text, "file.yml")
    assert "\n" not in str(caught.value)


def test_anchors_and_merged_mappings_are_understood():
    text = "common: &common {low: 1, high: 2}\nother: {<<: *common, high: 3}\n"
    assert parse_yaml(text, "file.yml")["other"] == {"low": 1, "high": 3}


VALUES = [
    *["1e-5", "1e5", "off", "yes", "true", "null", "~", "", "1:30", "1_0", "0x1f", ".5e3", "µ"],
    *[1e-5, 1e22, 1.0, 1, True, None, math.inf],
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_what_is_written_is_read_back_as_it_was(value):
    text = dump_yaml({"x": [value]})
    (found,) = parse_yaml(text, "file.yml")["x"]
    assert found == value
    assert type(found) is type(value)
    assert yaml.safe_load(text) == {"x": [value]}, "other readers must understand it too"


def test_an_empty_file_is_an_empty_mapping(tmp_path):
    path = tmp_path / "empty.yml"
    path.write_text("# nothing yet\n")
    assert read_mapping(path) == {}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "there is no such file"),
        (b"- a\n- b\n", "expected `key: value` lines, found list"),
        (b"just words\n", "expected `key: value` lines, found str"),
        (b"1: a\n", "expected `key: value` lines"),
        (b"\xff\xfe\x00a", "cannot be read"),
    ],
)
def test_a_file_that_holds_no_mapping_is_refused_by_name(tmp_path, content, problem):
    path = tmp_path / "settings.yml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        read_mapping(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert problem in str(caught.value)


def test_a_folder_in_place_of_a_file_is_refused_by_name(tmp_path):
    with pytest.raises(SettingsError, match="cannot be read"):
        read_mapping(tmp_path)


def test_files_are_read_as_utf8_whatever_the_locale(tmp_path):
    path = tmp_path / "settings.yml"
    path.write_bytes("name: Jürgen\n".encode())
    program = (
        "import sys; from pathlib import Path;"
        "from orchestrator.settings.yaml import read_mapping;"
        "print(ascii(read_mapping(Path(sys.argv[1]))))"
    )
    plain_locale = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PATH": os.environ["PATH"]}
    found = subprocess.run(
        [sys.executable, "-X", "utf8=0", "-c", program, str(path)],
        env=plain_locale,
        cwd=Path(__file__).parents[4],
        capture_output=True,
        text=True,
    )
    assert found.stdout.strip() == ascii({"name": "Jürgen"}), found.stderr


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("010", "010"),
        ("1:30", "1:30"),
        ("0x10", "0x10"),
        ("1_000", 1000),
        ("-7", -7),
        ("0", 0),
        ("1.", 1.0),
        (".5e-3", 0.0005),
        ("-.inf", float("-inf")),
    ],
)
def test_only_what_people_write_as_a_number_is_one(text, value):
    assert parse_yaml(text, "f") == value
    assert type(parse_yaml(text, "f")) is type(value)
    assert parse_yaml(dump_yaml({"a": value}), "f") == {"a": value}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("/x/set #2", "/x/set #2"),
        ("[1, 2] # two", [1, 2]),
        ("1e-3", 0.001),
        ('"a # b"', "a # b"),
        ("a#b", "a#b"),
    ],
)
def test_on_the_command_line_a_sharp_begins_no_comment(text, value):
    assert parse_value(text, "--set") == value
