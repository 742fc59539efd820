"""A project of the real one's shape that installs in seconds and without a network.

It has the real scripts, two packages of its own making, and a build step that notes each
installation and can be held up, so that a test can interrupt it at a known place.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
SCRIPTS = ("run_study.sh", "run_tests.sh", "scripts")

PYPROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "tiny"
version = "0.1.0"
dependencies = ["tinydep"]
optional-dependencies = { dev = ["tinytool"] }
"""

BACKEND = '''\
"""Builds the editable link; notes it in builds.log, and waits while the file `hold` exists."""
import time, zipfile
from pathlib import Path

METADATA = """Metadata-Version: 2.1
Name: tiny
Version: 0.1.0
Requires-Dist: tinydep
Provides-Extra: dev
Requires-Dist: tinytool; extra == "dev"
"""

def prepare_metadata_for_build_editable(folder, settings=None):
    info = Path(folder, "tiny-0.1.0.dist-info")
    info.mkdir()
    (info / "METADATA").write_text(METADATA)
    (info / "WHEEL").write_text(WHEEL)
    return info.name

WHEEL = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"

def build_editable(folder, settings=None, metadata=None):
    with open("builds.log", "a") as log:
        log.write("build\\n")
    while Path("hold").exists():
        time.sleep(0.05)
    name = "tiny-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(Path(folder, name), "w") as wheel:
        for file, text in {
            "tiny.pth": f"{Path.cwd()}\\n",
            "tiny-0.1.0.dist-info/METADATA": METADATA,
            "tiny-0.1.0.dist-info/WHEEL": WHEEL,
            "tiny-0.1.0.dist-info/RECORD": "",
        }.items():
            wheel.writestr(file, text)
    return name
'''

PROGRAM = """\
import importlib.metadata, json, os, sys

def version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None

print(json.dumps({
    "arguments": sys.argv[1:], "folder": os.getcwd(), "prefix": sys.prefix, "file": __file__,
    "tinydep": version("tinydep"), "tinytool": version("tinytool"),
}))
"""


class TinyProject:
    """One copy of the project, in a folder of its own."""

    def __init__(self, root: Path, wheels: Path) -> None:
        self.root = root
        self.wheels = wheels
        root.mkdir(parents=True)
        for name in SCRIPTS:
            if (SOURCE / name).is_dir():
                skip = shutil.ignore_patterns("__pycache__")
                shutil.copytree(SOURCE / name, root / name, ignore=skip)
            else:
                shutil.copy2(SOURCE / name, root / name)
        (root / "pyproject.toml").write_text(PYPROJECT)
        (root / "backend.py").write_text(BACKEND)
        self.pin("1.0")
        (root / "orchestrator").mkdir()
        (root / "orchestrator" / "__init__.py").touch()
        (root / "orchestrator" / "__main__.py").write_text(PROGRAM)
        wheels.mkdir(exist_ok=True)
        for name, version in (("tinydep", "1.0"), ("tinydep", "2.0"), ("tinytool", "1.0")):
            write_wheel(wheels, name, version)
        self.uv = wheels.with_name("uv")
        self.uv.mkdir(exist_ok=True)
        (self.uv / "uv").symlink_to(real_uv())

    @property
    def venv(self) -> Path:
        return self.root / ".venv"

    @property
    def builds(self) -> int:
        """How often the project's link was built, that is how often it was installed."""
        log = self.root / "builds.log"
        return len(log.read_text().splitlines()) if log.exists() else 0

    def pin(self, version: str) -> None:
        (self.root / "constraints.txt").write_text(f"tinydep=={version}\ntinytool==1.0\n")

    def hold(self) -> None:
        (self.root / "hold").touch()

    def release(self) -> None:
        (self.root / "hold").unlink()

    def environment(self, **variables: str) -> dict[str, str]:
        """This machine's, less what would reach into the installation, plus `variables`."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PIP_", "UV_", "PYTHON", "TOMOSTUDY_", "VIRTUAL_ENV"))
        }
        ours = {
            "PATH": f"{self.uv}:{os.environ['PATH']}",
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.wheels),
            "PIP_CONFIG_FILE": os.devnull,
            "UV_CACHE_DIR": str(self.wheels.with_name("cache")),
            "UV_NO_CONFIG": "1",
            "TOMOSTUDY_PYTHON": str(Path(sys.executable).resolve()),
        }
        return kept | ours | variables

    def start(
        self, *arguments: str, script: Path | None = None, cwd: Path | None = None, **variables: str
    ) -> subprocess.Popen[str]:
        """Starts run_study.sh in a process group of its own, so that a test can kill all of it."""
        return subprocess.Popen(
            [str(script or self.root / "run_study.sh"), *(arguments or ["status"])],
            cwd=cwd or self.root.parent,
            env=self.environment(**variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )

    def run(self, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        """The same, to its end."""
        process = self.start(*arguments, **options)  # type: ignore[arg-type]
        out, err = process.communicate(timeout=200)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def wait_for_build(self, count: int = 1) -> None:
        """Returns once the installation stands at its last step."""
        deadline = time.monotonic() + 120
        while self.builds < count:
            assert time.monotonic() < deadline, "the installation never came to its last step"
            time.sleep(0.02)


def real_uv() -> Path:
    """This environment's uv, or the machine's."""
    folders = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    found = shutil.which("uv", path=folders)
    assert found, "the tests need uv: ./run_tests.sh installs it"
    return Path(found).resolve()


def write_wheel(folder: Path, name: str, version: str, script: str = "") -> None:
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", f"version = {version!r}\n")
        wheel.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
        if script:
            program = zipfile.ZipInfo(f"{name}-{version}.data/scripts/{name}")
            program.external_attr = 0o100755 << 16
            wheel.writestr(program, script)
