"""An interpreter that finds torch and what pip brings with it, and nothing else: not even NumPy."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

SECONDS = 120


def run_with_torch_alone(folder: Path, script: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and output of a script; links to the packages are put into `folder`."""
    packages = folder / "packages"
    if not packages.exists():
        packages.mkdir()
        for name in _closure("torch"):
            _link(name, packages)
    start = "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); del sys.argv[0]; "
    start += "runpy.run_path(sys.argv[0], run_name='__main__')"
    command = [sys.executable, "-I", "-S", "-c", start, str(packages), str(script), *arguments]
    done = subprocess.run(
        command, cwd=folder, env={}, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    return done.returncode, done.stdout + done.stderr


def _closure(name: str) -> set[str]:
    """A distribution and all that it requires here, whatever extras others have asked for."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        try:
            requires = distribution(name).requires or []
        except PackageNotFoundError:
            continue
        found.add(name)
        for text in requires:
            one = Requirement(text)
            if one.marker is None or any(
                one.marker.evaluate({"extra": extra}) for extra in ("", *one.extras)
            ):
                waiting.append(one.name)
                waiting += [part for extra in one.extras for part in _of_extra(one.name, extra)]
    return found


def _of_extra(name: str, extra: str) -> list[str]:
    try:
        requires = distribution(name).requires or []
    except PackageNotFoundError:
        return []
    parsed = [Requirement(text) for text in requires]
    return [one.name for one in parsed if one.marker and one.marker.evaluate({"extra": extra})]


def _link(name: str, packages: Path) -> None:
    """Links to a distribution's own modules and packages."""
    of = distribution(name)
    for top in {file.parts[0] for file in of.files or [] if file.parts[0] != ".."}:
        place = Path(str(of.locate_file(top)))
        if place.exists() and not (packages / top).exists() and top != "__pycache__":
            (packages / top).symlink_to(place)
