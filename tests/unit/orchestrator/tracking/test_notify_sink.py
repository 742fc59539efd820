import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import psutil
import pytest

import orchestrator
from orchestrator.settings.schema import NotifySettings
from orchestrator.tracking import notify_sink
from orchestrator.tracking.notify_sink import Notices, Ways
from orchestrator.tracking.state import ToldState
from orchestrator.tracking.trackers import start_notices
from protocol.messages import Ending, load_plan
from tests.made_study import MadeStudy
from tests.unit.orchestrator.tracking.test_tracker import survivors, wait_for

ROOT = Path(orchestrator.__file__).parents[1]
SECRET = "hooks/T0/very-secret"


@pytest.fixture
def made(tmp_path):
    return MadeStudy(tmp_path)


def log_of(made):
    return (made.folder.path / "notify" / "tracking.log").read_text()


@pytest.fixture
def said(tmp_path):
    """What a command that appends its input to a file has heard."""
    file = tmp_path / "said.jsonl"
    file.touch()
    heard = lambda: [json.loads(line) for line in file.read_text().splitlines()]  # noqa: E731
    heard.command = f'cat >> {file}; echo >> {file}; test -n "$TOMOSTUDY_TEXT"'
    return heard


@pytest.fixture
def webhook(monkeypatch):
    """A server that keeps what is posted to it, and answers as it is told."""
    found = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            size = int(self.headers["Content-Length"])
            found.append((self.path, json.loads(self.rfile.read(size))))
            self.send_response(self.server.answer)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.answer, server.found = 200, found
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HOOK", f"http://127.0.0.1:{server.server_address[1]}/{SECRET}")
    yield server
    server.shutdown()


def end(tracker, word=""):
    pid = tracker._process.pid
    tracker.last_word = word
    tracker.close()
    wait_for(lambda: survivors(pid) == [])


def test_failures_the_best_and_the_end_are_told_to_a_command(made, said):
    tracker = start_notices(made.folder, NotifySettings(command=said.command))
    wait_for(lambda: (made.folder.path / "notify" / "tracked.json").exists())
    made.add(24.0)
    made.add(23.0)
    made.add(None, ending=Ending.FAILED, reason="ValueError on rank 0: wrong")
    made.add(26.0)
    wait_for(lambda: len(said()) == 3)
    end(tracker, json.dumps({"what": "end", "text": "Study made has ended"}))
    assert [(one["what"], one.get("trial")) for one in said()] == [
        ("best", 0),
        ("failure", 2),
        ("best", 3),
        ("end", None),
    ]
    assert said()[0]["text"] == "Study made: trial 0 is the best so far, psnr 24"
    assert "wrong" in said()[1]["text"]
    assert {one["study"] for one in said()} == {"made"}


def test_what_was_told_is_not_told_again_and_what_a_kill_kept_back_is(made, said):
    settings = NotifySettings(command=said.command)
    tracker = start_notices(made.folder, settings)
    wait_for(lambda: (made.folder.path / "notify" / "tracked.json").exists())
    made.add(24.0)
    wait_for(lambda: len(said()) == 1)
    end(tracker)
    made.add(23.0)  # while nobody told anything
    made.add(25.0)
    again = start_notices(made.folder, settings)
    wait_for(lambda: len(said()) == 2)
    end(again)
    assert [one["trial"] for one in said()] == [0, 2]


def test_of_a_study_that_is_older_than_the_setting_only_news_are_told(made, said):
    made.add(24.0)
    made.add(None, ending=Ending.FAILED)
    tracker = start_notices(made.folder, NotifySettings(command=said.command))
    wait_for(lambda: (made.folder.path / "notify" / "tracked.json").exists())
    made.add(23.0)
    made.add(25.0)
    wait_for(lambda: said())
    end(tracker)
    assert [one["trial"] for one in said()] == [3]


def test_only_what_is_asked_for_is_told(made, said):
    settings = NotifySettings(command=said.command, of=["end"])
    tracker = start_notices(made.folder, settings)
    wait_for(lambda: (made.folder.path / "notify" / "tracked.json").exists())
    made.add(24.0)
    end(tracker, json.dumps({"what": "end", "text": "over"}))
    assert [one["what"] for one in said()] == ["end"]


def test_a_webhook_hears_the_same_and_its_address_is_written_nowhere(made, webhook):
    settings = NotifySettings(url="${HOOK}")
    tracker = start_notices(made.folder, settings)
    wait_for(lambda: (made.folder.path / "notify" / "tracked.json").exists())
    made.add(24.0)
    wait_for(lambda: webhook.found)
    webhook.answer = 403
    end(tracker, json.dumps({"what": "failure", "text": "Study made stopped"}))
    assert [path for path, _ in webhook.found] == [f"/{SECRET}"] * 2
    assert webhook.found[0][1]["text"].startswith("Study made: trial 0 is the best")
    assert "the webhook of HOOK: it answered 403" in log_of(made)
    written = [path for path in made.folder.path.rglob("*") if path.is_file()]
    assert not any(SECRET.encode() in path.read_bytes() for path in written)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"http://127.0.0.1:1/{SECRET}", "URLError"),
        (f"no address {SECRET}", "ValueError"),
        (f"http://a b/{SECRET}", "InvalidURL"),
    ],
)
def test_a_webhook_that_cannot_be_reached_is_a_line_in_the_log(made, monkeypatch, url, said):
    monkeypatch.setenv("HOOK", url)
    tracker = start_notices(made.folder, NotifySettings(url="${HOOK}"))
    end(tracker, json.dumps({"what": "end", "text": "over"}))
    assert f"the webhook of HOOK: {said}" in log_of(made)
    assert SECRET not in log_of(made)


def test_a_command_that_fails_is_a_line_in_the_log(made):
    tracker = start_notices(made.folder, NotifySettings(command="echo no mail here; exit 3"))
    end(tracker, json.dumps({"what": "end", "text": "over"}))
    assert "it left with 3: no mail here" in log_of(made)


def test_a_command_that_takes_too_long_is_ended_with_all_that_it_started(monkeypatch, caplog):
    monkeypatch.setattr(notify_sink, "_SECONDS", 0.3)
    tag = f"61.{os.getpid()}"  # seconds, as nobody else sleeps
    ways = Ways(study="made", what=["end"], command=f"sleep {tag} | cat")
    ways.tell("end", "over")
    assert "it took longer than 0.3 s" in caplog.text
    wait_for(lambda: not [p for p in psutil.process_iter() if tag in cmdline(p)])


def cmdline(process):
    with contextlib.suppress(psutil.Error):
        return process.cmdline()
    return []


@pytest.mark.parametrize("ending", [Ending.FAILED, Ending.LOST, Ending.HUNG])
def test_a_trial_that_was_lost_for_good_has_failed_too(made, said, ending):
    trial = made.begin()
    outcome = made.settle(trial, None, ending=ending, reason="gone")
    folder = made.trial(trial.number)
    ways = Ways(study="made", what=["failure"], command=said.command)
    notices = Notices(made.folder, ToldState(made.folder.path / "told.json"), ways)
    notices.open(folder, load_plan(folder.plan)).ended(outcome)
    assert [(one["what"], one["text"]) for one in said()] == [
        ("failure", "Study made: trial 0 failed: gone")
    ]


def test_the_kill_of_a_search_is_told(made, said):
    program = (
        "import sys, time; from pathlib import Path;"
        "from orchestrator.settings.schema import NotifySettings;"
        "from orchestrator.tracking.trackers import start_notices;"
        "from protocol.folders import StudyFolder;"
        "t = start_notices(StudyFolder(Path(sys.argv[1])), NotifySettings(command=sys.argv[2]));"
        "print(t._process.pid, flush=True); time.sleep(100)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(made.folder.path), said.command],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
    )
    pid = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_for(lambda: survivors(pid) == [])
    (told,) = said()
    assert told["what"] == "failure"
    assert told["text"] == "Study made: its search was killed; the same command goes on with it"
