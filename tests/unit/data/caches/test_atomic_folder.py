import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from data.caches.atomic_folder import build_folder
from protocol.errors import DataError

SLOW_BUILD = """
import pathlib, sys, time
from data.caches.atomic_folder import build_folder

def write(folder):
    (folder / "half").write_text("half")
    print("started", flush=True)
    time.sleep(60)

build_folder(pathlib.Path(sys.argv[1]), write)
"""


def writer(text):
    return lambda folder: (folder / "file").write_text(text)


def remains(parent):
    return [path.name for path in parent.iterdir() if "partial" in path.name]


def test_a_folder_is_built_where_none_or_an_empty_one_is(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("deep/new", "empty"):
        assert build_folder(tmp_path / name, writer("x"))
        assert (tmp_path / name / "file").read_text() == "x"
    assert remains(tmp_path) == []


def test_nothing_of_it_is_seen_before_it_is_whole(tmp_path):
    seen = []
    build_folder(tmp_path / "new", lambda folder: seen.append((tmp_path / "new").exists()))
    assert seen == [False]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failed_build_leaves_nothing_behind(tmp_path, error):
    def write(folder):
        (folder / "half").write_text("half")
        raise error

    with pytest.raises(error):
        build_folder(tmp_path / "new", write)
    assert not (tmp_path / "new").exists()
    assert remains(tmp_path) == []


def test_a_folder_that_is_there_is_kept_unless_it_is_to_be_replaced(tmp_path):
    build_folder(tmp_path / "new", writer("first"))
    (tmp_path / "new" / "extra").write_text("")
    assert not build_folder(tmp_path / "new", writer("second"))
    assert (tmp_path / "new" / "file").read_text() == "first"
    assert build_folder(tmp_path / "new", writer("third"), overwrite=True)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["file"]
    assert (tmp_path / "new" / "file").read_text() == "third"
    assert remains(tmp_path) == []


def test_a_failed_replacement_keeps_the_old_folder(tmp_path):
    build_folder(tmp_path / "new", writer("first"))
    with pytest.raises(ZeroDivisionError):
        build_folder(tmp_path / "new", lambda folder: 1 / 0, overwrite=True)
    assert (tmp_path / "new" / "file").read_text() == "first"


def test_of_several_builders_one_builds_and_the_others_wait_for_it(tmp_path):
    built = []

    def write(folder):
        built.append(1)
        time.sleep(0.3)
        (folder / "file").write_text("x")

    def build(_):
        made = build_folder(tmp_path / "new", write)
        return made, (tmp_path / "new" / "file").exists()

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(build, range(4)))
    assert len(built) == 1
    assert sorted(made for made, _ in found) == [False, False, False, True]
    assert all(there for _, there in found)


def test_a_killed_build_shows_nothing_and_the_next_one_clears_up_after_it(tmp_path):
    command = [sys.executable, "-c", SLOW_BUILD, str(tmp_path / "new")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout.readline() == "started\n"
        killed.send_signal(signal.SIGKILL)
    assert not (tmp_path / "new").exists()
    assert len(remains(tmp_path)) == 1
    assert build_folder(tmp_path / "new", writer("x"))
    assert remains(tmp_path) == []


def test_neighbours_with_like_names_are_left_alone(tmp_path):
    other = tmp_path / ".a1.partial-x"
    other.mkdir()
    build_folder(tmp_path / "a[0-9]", writer("x"))
    assert other.exists()


def test_a_parent_that_is_a_file_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file/new cannot be written"):
        build_folder(tmp_path / "file" / "new", writer("x"))
