"""The pages do what they say: their commands are run, their links lead somewhere.

Commands are run as they stand, page by page, in a folder that has the project's presets in it, made
smaller, and a few scans, so that a study takes seconds. They run within this process, except for
those that wait for somebody to end them.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import nibabel
import numpy as np
import pytest
import typer
import yaml
from PIL import Image
from pydantic import BaseModel

from data.__main__ import app as prepare_app
from data.__main__ import main as prepare
from models.registry import load_family
from orchestrator.__main__ import main, with_command
from orchestrator.command_line import app
from orchestrator.launcher.local import LocalLauncher
from orchestrator.settings.checks import check_at_once
from orchestrator.settings.layers import Asked, load_settings
from orchestrator.settings.yaml import parse_yaml
from protocol.problems import problems
from protocol.recipe import own_keys
from scripts import settings_page
from tests.docs import (
    LANGUAGES,
    NEEDS,
    PAGES,
    ROOT,
    TAKES,
    Block,
    anchors,
    blocks,
    inline_commands,
    is_command,
    links,
)
from tests.made_study import PLAYED_PROGRAM

RUN = "./run_study.sh"
README = ROOT / "README.md"
README_LINES = 200
SMALL = {
    "image_size": 32, "angles": 64, "shape": [32, 32, 8], "size": 24, "xray_size": 32,
    "train": 4, "validation": 2, "test": 2, "lesions": 2,
}  # fmt: skip

every_page = pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
pages_with_commands = [
    page for page in PAGES if any(block.language == "bash" for block in blocks(page))
]
EVERY_BLOCK = [block for page in PAGES for block in blocks(page)]


# ---------------------------------------------------------------------- what can be read at once


def test_the_readme_is_short():
    assert len(README.read_text().splitlines()) <= README_LINES


@every_page
def test_a_block_says_what_it_is_and_a_command_stands_in_no_block_of_another_kind(page):
    for block in blocks(page):
        assert block.language in LANGUAGES, block.place
        if block.language != "bash":
            assert not any(is_command(line) for line in block.text.splitlines()), block.place


@every_page
def test_what_is_not_tried_says_what_it_needs_in_words_that_are_agreed_on(page):
    for block in blocks(page):
        remarks = block.remarks
        assert remarks.keys() <= {"needs", "takes", "file"}, block.place
        assert remarks.get("needs", "Docker") in NEEDS, block.place
        assert remarks.get("takes", "hours") in TAKES, block.place


@every_page
def test_every_link_leads_somewhere(page):
    for target in links(page):
        path, _, anchor = target.partition("#")
        led = (page.parent / path).resolve() if path else page
        assert led.exists(), target
        assert not anchor or anchor in anchors(led), target


@pytest.mark.parametrize(
    "block", [b for b in EVERY_BLOCK if b.language == "yaml"], ids=lambda block: block.place
)
def test_a_block_of_settings_is_one(block):
    assert isinstance(parse_yaml(block.text, block.place), dict)


def test_the_page_of_settings_has_every_key_as_the_schema_has_it_now():
    page = settings_page.PAGE.read_text()
    assert page == settings_page.with_tables(page), (
        f"docs/settings.md is behind the schema; write it anew: {settings_page.COMMAND}"
    )


@pytest.mark.parametrize("family", settings_page.families())
def test_every_key_of_a_family_stands_in_the_page_of_settings(family):
    page = settings_page.PAGE.read_text()
    loaded = load_family(family)
    for key in (*loaded.Settings.model_fields, *loaded.Data.model_fields):
        assert f"| `{key}` |" in page
    assert f"`{family}`" in (ROOT / "docs" / "families.md").read_text()


@pytest.mark.parametrize("app", [app, prepare_app], ids=["run_study", "prepare"])
def test_every_command_there_is_stands_in_a_page(app):
    known = {words[1] for block in EVERY_BLOCK for words in _commands(block) if words[0] == RUN}
    known |= {words[2] for block in EVERY_BLOCK for words in _commands(block) if "prepare" in words}
    commands = typer.main.get_command(app).commands
    assert commands.keys() <= {*known, "run"}


# ------------------------------------------------------------------- what could at least be typed


@every_page
def test_a_command_that_cannot_be_tried_here_could_be_typed(page, tmp_path, monkeypatch):
    for block in blocks(page):
        remark = block.remarks.get("file")
        if remark:
            (tmp_path / remark).write_text(block.text)
    monkeypatch.chdir(tmp_path)
    waiting = [words for block in blocks(page) if block.waits for words in _commands(block)]
    for words in [*waiting, *inline_commands(page)]:
        _could_be_typed(words)
    for block in blocks(page):
        if block.language == "python":
            compile(block.text, block.place, "exec")


def _could_be_typed(words: list[str]) -> None:
    """Make sure that the options exist and have values of their kinds, and that files are there."""
    program, *arguments = words
    if program in (RUN, "tomostudy"):
        _parsed(arguments)
    elif program == "python":
        module = ROOT.joinpath(*arguments[1].split("."))
        file = module / "__main__.py" if module.is_dir() else module.with_suffix(".py")
        source = file.read_text()
        options = [word for word in arguments if word.startswith("--")]
        assert [option for option in options if option.lstrip("-") not in source] == []
    elif "/" in program:
        assert os.access(ROOT / program, os.X_OK) or (ROOT / program).is_file(), program
    else:
        others = {"docker", "createuser", "createdb"}
        assert program in others, f"{program}: unknown here; say how it is to be tried"


def _parsed(arguments: list[str]) -> None:
    if arguments[0] == "prepare":
        command, arguments = typer.main.get_command(prepare_app), arguments[1:]
    else:
        command, arguments = typer.main.get_command(app), with_command(arguments)
    name = arguments[0]
    if name.startswith("-"):  # --help, --version
        return
    given = command.commands[name].make_context(name, arguments[1:]).params
    if name == "run":
        _check_settings(given)


def _check_settings(given: dict[str, Any]) -> None:
    """As far as that goes without the data."""
    preset = given["preset"] and str(Path(given["preset"]))
    settings, layers = load_settings(Asked(preset=preset, sets=list(given["set_"] or [])))
    check_at_once(settings, layers)
    family = load_family(settings.family)
    recipe = dict.fromkeys(own_keys({**settings.recipe, **settings.search}))
    known: dict[str, type[BaseModel]] = {"recipe": family.Settings, "data": family.Data}
    assert recipe.keys() <= known["recipe"].model_fields.keys()
    assert problems(known["data"], settings.data, "data") == []


# ---------------------------------------------------------------------------------- what is tried


class Reader:
    """Somebody who types a page's commands, in a folder of their own."""

    def __init__(self, place: Path, launcher: LocalLauncher) -> None:
        self.place = place
        self._launcher = mock.Mock(wraps=launcher, close=lambda: None)
        self._traces = True

    def read(self, page: Path) -> None:
        """Try all that can be tried here, in the page's order."""
        self._traces = page == README  # the same model's graphs on another page would be the same
        for block in blocks(page):
            if "file" in block.remarks:
                (self.place / block.remarks["file"]).write_text(block.text)
            elif not block.waits and block.language == "bash":
                for words in block.commands:
                    self._type(words, block)
            elif not block.waits and block.language == "python":
                exec(compile(block.text, block.place, "exec"), {})

    def _type(self, words: list[str], block: Block) -> None:
        program, *arguments = words
        where = f"{block.place}: {' '.join(words)}"
        if program == "touch":
            (self.place / arguments[0]).touch()
        elif arguments[0] == "dashboard":
            code, output = self._until_it_listens(self._at_home(arguments))
            assert code == 0, f"{where}\n{output}"
        else:
            assert program == RUN, f"{where}: unknown here; say how it is to be tried"
            code, output = self._run(self._at_home(arguments))
            assert code == 0, f"{where}\n{output}"
            assert "Traceback" not in output, f"{where}\n{output}"

    def _at_home(self, arguments: list[str]) -> list[str]:
        """With the studies in this folder, where the page does not say where they are."""
        if arguments[0] in ("prepare", "schema", "completion") or "--runs_dir" in arguments:
            return arguments
        return [*arguments, "--runs_dir", str(self.place / "runs")]

    def _run(self, arguments: list[str]) -> tuple[int, str]:
        log = self.place / "output.txt"
        with (
            mock.patch("orchestrator.launcher.open.LocalLauncher", return_value=self._launcher),
            mock.patch("orchestrator.running.session.cpu_cores", return_value=1),
            mock.patch("orchestrator.settings.layers.ROOT", self.place),
            mock.patch("os.execve", side_effect=_prepare),
            # Every search would end with one, for which its page has a command.
            mock.patch("orchestrator.commands.run.try_to_report", return_value=False),
            mock.patch.object(sys, "argv", [RUN, *arguments]),
            contextlib.nullcontext()
            if self._traces
            else mock.patch(
                "orchestrator.commands.export.write_program", return_value=PLAYED_PROGRAM
            ),
            log.open("w") as output,
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(output),
        ):
            try:
                main()
            except SystemExit as exit:
                code = int(exit.code or 0)
            else:
                code = 0
        return code, log.read_text()

    def _until_it_listens(self, arguments: list[str]) -> tuple[int, str]:
        """Of a command that serves until ^C."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "orchestrator", *arguments, "--port", port],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # Who runs the tests in the background has ^C ignored, and so would this process.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        try:
            assert process.stdout is not None
            told = [process.stdout.readline() for _ in range(2)]
            process.send_signal(signal.SIGINT)
            rest, _ = process.communicate(timeout=60)
        finally:
            process.kill()
        assert f":{port}/dashboard" in told[0], rest
        return process.returncode, "".join(told) + rest


def _prepare(program: str, arguments: list[str], environment: dict[str, str]) -> None:
    sys.exit(prepare(arguments[arguments.index("data") + 1 :]))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder whose content is every page's own, and that the launcher was started in."""
    folder = tmp_path_factory.mktemp("reader") / "project"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


@pytest.fixture(scope="module")
def reader(place):
    families = [f"models.families.{name}" for name in settings_page.families()]
    launcher = LocalLauncher(
        log=place.parent / "log", preload=("worker.calls.evaluation", *families)
    )
    yield Reader(place, launcher)
    launcher.close()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", pages_with_commands, ids=lambda page: page.stem)
def test_the_commands_of_a_page_do_what_they_are_there_for(page, reader, place):
    for old in place.iterdir():
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    _furnish(place)
    reader.read(page)


def _furnish(place: Path) -> None:
    """The presets, smaller; scans of a body and of heads; two X-rays."""
    shutil.copy(ROOT / "config.yml", place)
    (place / "studies").mkdir()
    for path in (ROOT / "studies").glob("*.yml"):
        preset = yaml.safe_load(path.read_text())
        if "generate" in preset["data"]:
            _make_smaller(preset)
        (place / "studies" / path.name).write_text(yaml.safe_dump(preset, sort_keys=False))
    random = np.random.default_rng(0)
    _save(place / "ct.nii.gz", _body(random))
    for number in range(3):
        _save(place / "scans" / f"patient_{number}.nii.gz", _body(random))
    for number in range(5):
        _save(place / "volumes" / f"subject{number}_t1.nii.gz", _head(random), voxel=2.0)
    for name in ("ap.png", "lat.png"):
        Image.fromarray(random.integers(0, 255, (40, 48), dtype=np.uint8)).save(place / name)


def _make_smaller(preset: dict[str, Any]) -> None:
    preset["n_trials"] = 2 if preset["family"] == "fbp_window" else 1
    preset["pictures"] = 1
    preset["recipe"]["epochs"] = 1
    preset["data"]["generate"] |= {
        key: value for key, value in SMALL.items() if key in preset["data"]["generate"]
    }
    if "crop" in preset["data"]:
        preset["data"] |= {"crop": [32, 32, 8], "size": [32, 32, 8]}


def _save(path: Path, volume: np.ndarray, voxel: float = 4.0) -> None:
    path.parent.mkdir(exist_ok=True)
    affine = np.diag([voxel, voxel, voxel, 1.0])
    nibabel.loadsave.save(nibabel.Nifti1Image(volume, affine), path)


def _body(random: np.random.Generator) -> np.ndarray:
    """HU of a body with a spine, in air."""
    x, y, _ = np.meshgrid(*[np.linspace(-1, 1, size) for size in (32, 32, 24)], indexing="ij")
    hu = np.where(x**2 + (1.4 * y) ** 2 < 0.6, 40.0, -1000.0)
    hu[x**2 + (y - 0.35) ** 2 < 0.02] = 700
    return (hu + random.normal(0, 5, hu.shape)).astype(np.float32)


def _head(random: np.random.Generator) -> np.ndarray:
    """A brain without its skull."""
    axes = np.meshgrid(*[np.linspace(-1, 1, size) for size in (36, 42, 32)], indexing="ij")
    inside = sum(axis**2 for axis in axes) < 0.8
    tissue = 400 + 200 * np.sin(5 * axes[0]) * np.cos(4 * axes[1] + axes[2])
    return np.where(inside, tissue + random.normal(0, 10, inside.shape), 0).astype(np.float32)


def _commands(block: Block) -> list[list[str]]:
    return block.commands if block.language == "bash" else []
