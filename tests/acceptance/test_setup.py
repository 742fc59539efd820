"""What the two scripts promise about setting themselves up, tried on a tiny project."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.acceptance.tiny_project import TinyProject, real_uv, write_wheel

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


def python_where(change):
    """A program's text: this Python, after `change`, for `python -E -s -c QUESTION NAME`."""
    code = f"import sys; {change}; exec(sys.argv.pop(1))"
    return f'exec {sys.executable} -c "{code}" "$4" "$5"'


@pytest.fixture
def project(tmp_path):
    return TinyProject(tmp_path / "project", tmp_path / "wheels")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """An installed project in a folder with a space in its name; tests leave it as it is."""
    folder = tmp_path_factory.mktemp("shared")
    project = TinyProject(folder / "my project", folder / "wheels")
    project.first = project.run("--flag", "two words")
    return project


def said(finished):
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


class TestFirstStart:
    def test_makes_the_environment_beside_the_script_and_hands_over(self, installed):
        program = said(installed.first)
        assert program["arguments"] == ["--flag", "two words"]
        assert program["prefix"] == str(installed.venv)
        assert program["tinydep"] == "1.0"
        assert program["tinytool"] is None

    def test_keeps_the_users_working_directory(self, installed):
        assert said(installed.first)["folder"] == str(installed.root.parent)

    def test_shows_its_steps_on_standard_error_alone(self, installed):
        steps = installed.first.stderr
        assert "making the environment" in steps
        assert "installing the packages" in steps
        assert "Ready after" in steps
        assert installed.first.stdout.count("\n") == 1

    def test_says_nothing_of_warnings_nor_of_pip(self, installed):
        assert "warning" not in installed.first.stderr.lower()
        assert "pip" not in installed.first.stderr

    def test_compiles_what_it_installed(self, installed):
        assert list(installed.venv.glob("lib/python3*/site-packages/__pycache__/tinydep.*.pyc"))


class TestLaterStart:
    def test_adds_less_than_half_a_second_and_installs_nothing(self, installed):
        direct = [str(installed.venv / "bin" / "python"), "-P", "-m", "orchestrator"]
        environment = installed.environment(PYTHONPATH=str(installed.root))
        program, script = [], []
        for _ in range(5):
            started = time.perf_counter()
            subprocess.run(direct, env=environment, check=True, capture_output=True)
            program.append(time.perf_counter() - started)
            started = time.perf_counter()
            finished = installed.run()
            script.append(time.perf_counter() - started)
            assert finished.stderr == ""
        assert min(script) - min(program) < 0.5
        assert installed.builds == 1

    def test_works_through_a_chain_of_links_from_any_directory(self, installed, tmp_path):
        (tmp_path / "first").symlink_to(installed.root / "run_study.sh")
        (tmp_path / "second").symlink_to("first")
        program = said(installed.run(script=tmp_path / "second", cwd=tmp_path))
        assert program["prefix"] == str(installed.venv)
        assert program["folder"] == str(tmp_path)

    def test_is_not_shadowed_by_a_folder_of_the_users_with_the_same_name(self, installed, tmp_path):
        (tmp_path / "orchestrator").mkdir()
        (tmp_path / "orchestrator" / "__init__.py").write_text("raise SystemExit('shadowed')")
        program = said(installed.run(cwd=tmp_path))
        assert program["file"].startswith(str(installed.root))


@pytest.mark.slow
class TestInterrupted:
    def test_an_installation_killed_half_way_is_repaired_by_the_next_start(self, project):
        project.hold()
        process = project.start()
        project.wait_for_build()
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        (project.venv / "leftover").touch()
        project.release()

        assert said(project.run())["tinydep"] == "1.0"
        assert project.builds == 2
        assert not (project.venv / "leftover").exists()

    @pytest.mark.long
    def test_an_installer_that_a_killed_start_left_behind_is_waited_for_by_the_next(self, project):
        project.hold()
        process = project.start()
        project.wait_for_build()
        os.kill(int((project.root / ".venv.lock").read_text()), signal.SIGKILL)
        assert process.wait(timeout=20) != 0
        assert running_installers(project)
        again = project.start()
        assert "waiting" in again.stderr.readline()
        assert project.builds == 1
        project.release()
        out, err = again.communicate(timeout=200)
        assert project.builds == 2
        assert again.returncode == 0, err
        assert json.loads(out)["tinydep"] == "1.0"

    def test_control_c_says_so_and_leaves_nothing_running(self, project):
        project.hold()
        process = project.start()
        project.wait_for_build()
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=20)
        assert process.returncode == 130
        assert err.endswith("Interrupted; the next start sets up again.\n")
        assert "Traceback" not in err
        assert not running_installers(project)

    @pytest.mark.long
    def test_an_environment_without_a_working_python_is_made_anew(self, project):
        project.venv.mkdir()
        (project.venv / "pyvenv.cfg").touch()
        (project.venv / "bin").mkdir()
        (project.venv / "bin" / "python").symlink_to("/nowhere/python3")
        assert said(project.run())["tinydep"] == "1.0"


@pytest.mark.slow
def test_of_two_first_starts_at_once_one_installs_and_the_other_waits(project):
    project.hold()
    first = project.start()
    project.wait_for_build()
    second = project.start()
    line = second.stderr.readline()
    assert "waiting" in line
    assert (project.root / ".venv.lock").read_text() in line
    project.release()
    for process in (first, second):
        out, err = process.communicate(timeout=200)
        assert process.returncode == 0, err
        assert json.loads(out)["tinydep"] == "1.0"
    assert project.builds == 1


@pytest.fixture(scope="class")
def changing(tmp_path_factory):
    """An installed project that the tests of one class change one after another."""
    folder = tmp_path_factory.mktemp("changing")
    project = TinyProject(folder / "project", folder / "wheels")
    said(project.run())
    (project.venv / "made once").touch()
    return project


@pytest.mark.slow
class TestChanges:
    def test_other_pinned_versions_are_installed_by_the_next_start(self, changing):
        for version in ("2.0", "1.0"):
            changing.pin(version)
            finished = changing.run()
            assert said(finished)["tinydep"] == version
            assert "up to date" in finished.stderr
            assert changing.run().stderr == ""

    @pytest.mark.parametrize(
        ("version", "variables", "expected"),
        [
            ("9.9", {}, "not to be had for this Python and platform"),
            (
                "2.0",
                {
                    "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
                    "PIP_NO_INDEX": "0",
                    "PIP_FIND_LINKS": "",
                    "PIP_RETRIES": "1",
                    "UV_HTTP_RETRIES": "0",
                },
                "The package index could not be reached",
            ),
        ],
    )
    def test_a_failed_update_says_what_to_do_and_keeps_the_environment_for_a_later_one(
        self, changing, version, variables, expected
    ):
        changing.pin(version)
        finished = changing.run(**variables)
        assert finished.returncode == 2
        assert "tinydep" in finished.stderr
        assert expected in finished.stderr.splitlines()[-1]
        assert "Traceback" not in finished.stderr
        changing.pin("1.0")
        assert said(changing.run())["tinydep"] == "1.0"
        assert (changing.venv / "made once").exists()

    def test_an_extra_is_added_by_hand_and_a_later_start_of_a_study_keeps_it(self, changing):
        by_hand = changing.run("dev", script=changing.root / "scripts" / "setup.sh")
        assert by_hand.stdout == f"{changing.venv / 'bin' / 'python'}\n"
        finished = changing.run()
        assert said(finished)["tinytool"] == "1.0"
        assert finished.stderr == ""

    @pytest.mark.long
    def test_an_environment_that_moved_with_its_project_is_made_anew(self, changing):
        changing.root = changing.root.rename(changing.root.with_name("moved"))
        assert said(changing.run())["prefix"] == str(changing.root.with_name("moved") / ".venv")
        assert not (changing.venv / "made once").exists()


@pytest.mark.slow
def test_an_environment_that_was_made_by_hand_is_adopted_not_removed(project):
    make_environment(project.venv)
    (project.venv / "mine").touch()
    assert said(project.run())["tinydep"] == "1.0"
    assert (project.venv / "mine").exists()
    assert project.run().stderr == ""


@pytest.mark.slow
class TestInstallers:
    def test_without_uv_on_the_search_path_pip_fetches_it_into_the_environment(
        self, project, tmp_path
    ):
        write_wheel(project.wheels, "uv", "1.0", script=f'#!/bin/sh\nexec {real_uv()} "$@"\n')
        finished = project.run(PATH=str(tools(tmp_path)))
        assert said(finished)["tinydep"] == "1.0"
        assert "fetching uv" in finished.stderr
        assert "pip" not in finished.stderr
        assert (project.venv / "bin" / "uv").exists()

    @pytest.mark.long
    def test_where_uv_is_not_to_be_had_pip_installs_and_one_sentence_says_so(
        self, project, tmp_path
    ):
        finished = project.run(PATH=str(tools(tmp_path)))
        assert said(finished)["tinydep"] == "1.0"
        assert finished.stderr.count("  uv could not install them; trying with pip\n") == 1
        assert project.run(PATH=str(tmp_path / "tools")).stderr == ""

    def test_where_uv_fails_pip_installs_and_uvs_words_are_shown(self, project, tmp_path):
        write_program(tmp_path / "broken" / "uv", "echo the uv is broken; exit 7")
        finished = project.run(PATH=f"{tmp_path / 'broken'}:{os.environ['PATH']}")
        assert said(finished)["tinydep"] == "1.0"
        assert "| the uv is broken\n  uv could not install them; trying with pip" in finished.stderr

    @pytest.mark.parametrize("kind", ["file", pytest.param("variables", marks=pytest.mark.long)])
    def test_uv_follows_pips_settings(self, project, tmp_path, kind):
        """tinydep 1.0 is to be had from a page of links alone, tinydep 2.0 from a folder alone."""
        pages = tmp_path / "simple" / "tinydep"
        pages.mkdir(parents=True)
        wheel = (project.wheels / "tinydep-1.0-py3-none-any.whl").rename(
            pages / "tinydep-1.0-py3-none-any.whl"
        )
        (pages / "index.html").write_text(f'<a href="{wheel.name}">{wheel.name}</a>')
        options = {
            "index-url": (tmp_path / "empty").as_uri(),
            "extra-index-url": f"{(tmp_path / 'none').as_uri()} {(tmp_path / 'simple').as_uri()}",
            "find-links": str(project.wheels),
            "no-index": "false",
        }
        for name in ("empty", "none"):
            (tmp_path / name).mkdir()
        if kind == "file":
            lines = "".join(f"{name} = {value}\n" for name, value in options.items())
            (tmp_path / "pip.conf").write_text(f"[global]\nindex-url = nowhere\n[install]\n{lines}")
            variables = {"PIP_CONFIG_FILE": str(tmp_path / "pip.conf")}
            variables |= {"PIP_FIND_LINKS": "", "PIP_NO_INDEX": ""}
        else:
            variables = {f"PIP_{key.upper().replace('-', '_')}": options[key] for key in options}
        for version in ("1.0", "2.0"):
            project.pin(version)
            finished = project.run(**variables)
            assert said(finished)["tinydep"] == version
            assert "trying with pip" not in finished.stderr

    @pytest.mark.long
    def test_a_password_in_pips_settings_is_not_shown(self, project):
        finished = project.run(
            PIP_INDEX_URL="http://someone:s3cret@127.0.0.1:9/simple",
            PIP_NO_INDEX="0", PIP_FIND_LINKS="", PIP_RETRIES="1", UV_HTTP_RETRIES="0",
        )  # fmt: skip
        assert finished.returncode == 2
        assert "127.0.0.1" in finished.stderr
        assert "s3cret" not in finished.stderr

    @pytest.mark.long
    def test_without_a_terminal_a_line_now_and_then_tells_that_it_is_alive(self, project):
        project.hold()
        process = project.start()
        line = ""
        while not re.fullmatch(r"  \d+ s: .*tiny.*\n", line):
            line = process.stderr.readline()
            assert line, "it ended without one"
        project.release()
        assert process.communicate(timeout=200)[0]

    @pytest.mark.long
    def test_a_terminal_sees_the_installers_own_progress(self, project):
        ours, its = os.openpty()
        process = subprocess.Popen(
            [project.root / "run_study.sh", "status"],
            env=project.environment(), stdin=its, stdout=subprocess.DEVNULL, stderr=its,
        )  # fmt: skip
        os.close(its)
        shown = b""
        with contextlib.suppress(OSError):  # the other end is closed
            while chunk := os.read(ours, 4096):
                shown += chunk
        os.close(ours)
        assert process.wait(timeout=20) == 0
        assert b"Resolved" in shown
        assert b"tinydep" in shown


@pytest.mark.long
@pytest.mark.slow
def test_an_environment_of_another_python_than_the_one_named_is_made_anew(project, tmp_path):
    said(project.run())
    other = write_program(tmp_path / "python", f'exec {sys.executable} "$@"')
    named = {"TOMOSTUDY_PYTHON": str(other)}
    assert "Setting up" in project.run(**named).stderr
    assert project.run(**named).stderr == ""
    assert project.run(TOMOSTUDY_PYTHON="").stderr == ""


class TestAnotherPlace:
    def test_an_existing_environment_is_used_as_it_is(self, project, tmp_path):
        make_environment(tmp_path / "mine", pip=False)
        before = sorted((tmp_path / "mine").rglob("*"))
        program = said(project.run(TOMOSTUDY_VENV=str(tmp_path / "mine")))
        assert program["prefix"] == str(tmp_path / "mine")
        assert program["file"].startswith(str(project.root))
        assert sorted((tmp_path / "mine").rglob("*")) == before
        assert project.builds == 0
        assert not project.venv.exists()

    @pytest.mark.long
    @pytest.mark.slow
    def test_a_place_that_does_not_exist_is_made(self, project, tmp_path):
        program = said(project.run(TOMOSTUDY_VENV="new/place", cwd=tmp_path))
        assert program["prefix"] == str(tmp_path / "new" / "place")
        assert program["tinydep"] == "1.0"
        assert not project.venv.exists()

    def test_a_folder_that_is_no_environment_is_refused_and_left_alone(self, project, tmp_path):
        (tmp_path / "photos").mkdir()
        (tmp_path / "photos" / "one.png").touch()
        finished = project.run(TOMOSTUDY_VENV=str(tmp_path / "photos"))
        assert finished.returncode == 2
        assert finished.stderr.count("\n") == 1
        assert f"TOMOSTUDY_VENV names {tmp_path / 'photos'}" in finished.stderr
        assert [file.name for file in (tmp_path / "photos").iterdir()] == ["one.png"]

    @pytest.mark.parametrize("name", ["letter.txt", "letter.txt/below"])
    def test_a_file_in_the_way_is_named_and_left_alone(self, project, tmp_path, name):
        (tmp_path / "letter.txt").write_text("dear")
        finished = project.run(TOMOSTUDY_VENV=str(tmp_path / name))
        assert finished.returncode != 0
        assert str(tmp_path / "letter.txt") in finished.stderr
        assert "Traceback" not in finished.stderr
        assert (tmp_path / "letter.txt").read_text() == "dear"


class TestErrors:
    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            (python_where("sys.version_info = (3, 9)"), "is Python 3.9, and 3.11 is the oldest"),
            (python_where("sys.modules['ensurepip'] = None"), f"apt install python{VERSION}-venv"),
            (python_where("sys.modules['venv'] = None"), f"apt install python{VERSION}-venv"),
            ("exit 1", "does not run as a Python interpreter"),
        ],
    )
    def test_an_interpreter_that_will_not_do_is_named_in_one_sentence(
        self, project, tmp_path, body, expected
    ):
        interpreter = write_program(tmp_path / "python", body)
        finished = project.run(TOMOSTUDY_PYTHON=str(interpreter))
        assert finished.returncode == 2
        assert finished.stderr.count("\n") == 1
        assert str(interpreter) in finished.stderr
        assert expected in finished.stderr
        assert not project.venv.exists()

    def test_an_interpreter_that_does_not_exist_is_named(self, project):
        finished = project.run(TOMOSTUDY_PYTHON="python9")
        assert finished.returncode == 2
        assert "TOMOSTUDY_PYTHON names python9, which is not a program" in finished.stderr

    def test_without_any_fit_python_it_says_what_is_needed(self, project, tmp_path):
        write_program(tmp_path / "bin" / "python3", python_where("sys.version_info = (3, 8)"))
        finished = project.run(TOMOSTUDY_PYTHON="", PATH=f"{tmp_path / 'bin'}:{tools(tmp_path)}")
        assert finished.returncode == 2
        assert "needs Python 3.11 or newer" in finished.stderr
        assert "is Python 3.8" in finished.stderr


class TestRunTests:
    def run(self, project, tmp_path, broken):
        """run_tests.sh in an environment whose Python only notes what it is asked to run."""
        write_program(
            tmp_path / "fake" / "bin" / "python",
            f'case "$*" in *environment.py*) exit 0;; esac\n'
            f'echo "asked: $*"\ncase "$*" in *"{broken}"*) exit 1;; esac',
        )
        return project.run(
            "-k", "a name", script=project.root / "run_tests.sh",
            TOMOSTUDY_VENV=str(tmp_path / "fake"),
        )  # fmt: skip

    @pytest.mark.parametrize(
        ("broken", "name"), [("ruff format", "format (ruff)"), ("mypy", "types (mypy)")]
    )
    def test_all_checks_run_even_if_one_fails_and_it_is_named(
        self, project, tmp_path, broken, name
    ):
        finished = self.run(project, tmp_path, broken=broken)
        asked = [line for line in finished.stdout.splitlines() if line.startswith("asked")]
        assert len(asked) == 5
        assert finished.returncode == 1
        assert finished.stdout.rstrip().endswith(f"Failed: {name}")

    def test_arguments_go_to_pytest_and_success_is_said(self, project, tmp_path):
        finished = self.run(project, tmp_path, broken="nothing at all")
        assert "asked: -m pytest -n 3 --dist worksteal -k a name" in finished.stdout
        assert finished.returncode == 0


def make_environment(place, pip=True):
    options = [] if pip else ["--without-pip"]
    subprocess.run([sys.executable, "-m", "venv", *options, place], check=True)


def write_program(path, body):
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(f"#!/bin/bash\n{body}\n")
    path.chmod(0o755)
    return path


def tools(tmp_path):
    """A folder with what the scripts themselves need, and neither Python nor uv."""
    folder = tmp_path / "tools"
    folder.mkdir(exist_ok=True)
    for name in ("bash", "env", "dirname", "readlink"):
        found = next(p for d in os.get_exec_path() if (p := Path(d, name)).exists())
        (folder / name).symlink_to(found)
    return folder


def running_installers(project):
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if os.fsencode(project.venv / "bin" / "python") in arguments and b"pip" in arguments:
            found.add(process.name)
    return found
