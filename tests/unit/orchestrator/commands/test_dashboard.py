import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import psutil
import pytest
from matplotlib.image import imread

import orchestrator
from orchestrator.commands.dashboard import check_address, is_free, listens
from orchestrator.reporting.notes import annotate_study, annotate_trial
from orchestrator.settings.schema import Settings
from protocol.errors import SettingsError
from protocol.folders import StudyFolder
from protocol.messages import Ending
from tests.made_study import OBJECTIVE, MadeStudy

ROOT = Path(orchestrator.__file__).parents[1]


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


GREY = 137  # of the picture: no part of the dashboard's own has it


SWITCHES = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--window-size=1300,1900",
    "--virtual-time-budget=6000",
    "--dump-dom",
]


needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


def free_port(begin=18200):
    return next(port for port in range(begin, 65536) if is_free("127.0.0.1", port))


def started(folder, port):
    """A process that serves the dashboard, once it says so."""
    program = (
        "import sys; from pathlib import Path;"
        "from orchestrator.commands.dashboard import serve_dashboard;"
        "from protocol.folders import StudyFolder;"
        f"sys.exit(serve_dashboard(StudyFolder(Path({str(folder.path)!r})), port={port}))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    first = process.stdout.readline()
    assert f"http://127.0.0.1:{port}/dashboard/studies/1" in first, first
    return process


def fetched(url):
    with urllib.request.urlopen(url, timeout=30) as response:
        return response.read()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    made = MadeStudy(tmp_path_factory.mktemp("runs"), "shown")
    settings = Settings(preset="p", family="fbp_window", objective=OBJECTIVE, data={})
    annotate_study(made.study, made.folder, settings)
    trial = made.begin(epochs=4)
    made.draw(0, "validation_0000", GREY)
    outcome = made.settle(
        trial, None, ending=Ending.NONFINITE, reason="the loss was NaN at step 7 on rank 1"
    )
    annotate_trial(trial, made.folder, made.trial(0), outcome)
    made.tell(trial, outcome)
    return made


@pytest.fixture(scope="module")
def address(made):
    port = free_port()
    process = started(made.folder, port)
    yield f"http://127.0.0.1:{port}"
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 0


def seen_in_browser(address, tmp_path):
    """The page's elements as text, and its picture, once the browser has drawn it."""
    picture = tmp_path / "page.png"
    ended = subprocess.run(
        [
            CHROMIUM,
            *SWITCHES,
            f"--screenshot={picture}",
            f"--user-data-dir={tmp_path / 'browser'}",
            address,
        ],
        capture_output=True,
        timeout=120,
        check=True,
    )
    return re.sub(r"\s+", " ", ended.stdout.decode()), imread(picture)


@needs_chromium
def test_a_browser_shows_a_trials_note_and_picture(address, tmp_path):
    page, picture = seen_in_browser(f"{address}/dashboard/studies/1/trials?numbers=0", tmp_path)
    assert "<h2>Pruned: NaN or infinity</h2>" in page
    assert "the loss was NaN at step 7 on rank 1" in page
    assert "your own words" not in page
    assert 'alt="validation_0000.png"' in page
    drawn = np.all(np.round(picture[..., :3] * 255) == GREY, axis=-1)
    assert drawn.sum() > 5000


@needs_chromium
def test_a_browser_shows_the_studys_note_with_the_command_that_goes_on(address, made, tmp_path):
    page, _ = seen_in_browser(f"{address}/dashboard/studies/1/note", tmp_path)
    assert "<h2>shown</h2>" in page
    assert f"--study_name shown --runs_dir {made.folder.path.parent}" in page


def test_pictures_are_served_as_they_were_drawn(address, made):
    study = json.loads(fetched(f"{address}/api/studies/1"))
    trial = study["trials"][0]
    identity = trial["artifacts"][0]["artifact_id"]
    served = fetched(f"{address}/artifacts/1/{trial['trial_id']}/{identity}")
    assert served == (made.trial(0).pictures / "validation_0000.png").read_bytes()


def test_it_follows_a_study_that_is_being_written(address, made):
    before = len(json.loads(fetched(f"{address}/api/studies/1"))["trials"])
    for _ in range(5):
        number = made.add(24.0)
        fetched(f"{address}/api/studies/1")
    deadline = time.monotonic() + 30
    while True:
        trials = json.loads(fetched(f"{address}/api/studies/1"))["trials"]
        if len(trials) == before + 5 and trials[number]["state"] == "Complete":
            break
        assert time.monotonic() < deadline, trials
        time.sleep(0.5)


def test_a_taken_port_is_one_sentence_that_names_a_free_one(address, made):
    from orchestrator.commands.dashboard import serve_dashboard

    port = int(address.rpartition(":")[2])
    with pytest.raises(SettingsError, match=f"--port: {port} .* try --port"):
        serve_dashboard(made.folder, port=port)


def test_an_unknown_study_is_one_sentence(tmp_path):
    from orchestrator.commands.dashboard import serve_dashboard

    with pytest.raises(SettingsError, match="there is no study 'x'"):
        serve_dashboard(StudyFolder(tmp_path / "x"), port=free_port())


def test_a_killed_command_leaves_no_dashboard_behind(made):
    process = started(made.folder, free_port(18300))
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []


def test_plain_optuna_dashboard_works_on_the_studys_database(made):
    port = free_port(18400)
    script = Path(sys.executable).parent / "optuna-dashboard"
    url = f"sqlite:///{made.folder.database}"
    process = subprocess.Popen(
        [str(script), "--port", str(port), url],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while is_free("127.0.0.1", port):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        study = json.loads(fetched(f"http://127.0.0.1:{port}/api/studies/1"))
        assert study["name"] == "shown"
        assert "NaN" in study["trials"][0]["note"]["body"]
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_port_that_is_taken_is_refused_and_a_free_one_is_named(listener):
    with pytest.raises(
        SettingsError, match=rf"--port: {listener} cannot .*; try --port (\d+)"
    ) as e:
        check_address("127.0.0.1", listener)
    named = int(str(e.value).rpartition(" ")[2])
    assert named > listener
    check_address("127.0.0.1", named)


def test_a_free_port_is_accepted_and_left_free():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    check_address("127.0.0.1", port)
    assert is_free("127.0.0.1", port)
    assert not listens("127.0.0.1", port)


def test_a_listener_is_noticed(listener):
    assert listens("127.0.0.1", listener)


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_a_host_that_is_not_this_machine_is_refused(host):
    with pytest.raises(SettingsError, match=f"--host: {host} cannot be listened on"):
        check_address(host, 8080)


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_an_impossible_port_is_refused(port):
    with pytest.raises(SettingsError, match="expected 1 to 65535"):
        check_address("127.0.0.1", port)


@pytest.mark.skipif(os.geteuid() == 0, reason="a root user may listen everywhere")
def test_a_port_that_this_user_may_not_have_is_refused():
    with pytest.raises(SettingsError, match="--port: 1 cannot be listened on"):
        check_address("127.0.0.1", 1)
