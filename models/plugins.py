"""Families from outside the project: a Python file of the user's, or an installed package.

A package offers families as entry points of the group `tomostudy.families`, in its pyproject.toml:

    [project.entry-points."tomostudy.families"]
    my_family = "my_package.my_module:MyFamily"
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from orchestrator.errors import SettingsError, UserError

GROUP = "tomostudy.families"


def import_file(path: Path) -> ModuleType:
    """The module in the Python file `path`, which may import other files beside it.

    The same file is imported once in a process, so that its classes stay the same.

    Raises:
        SettingsError: there is no such file, or importing it fails.
    """
    if not path.is_file():
        raise SettingsError(f"family: there is no file {path}")
    path = path.resolve()
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:12]
    name = f"tomostudy_family_{path.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise SettingsError(f"family: {path} is not a Python file, whose name ends in .py")
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # last, so that nothing there can shadow ours
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except UserError:
        del sys.modules[name]
        raise
    except Exception as error:
        del sys.modules[name]
        raise SettingsError(f"family: {path} cannot be imported: {_cause(error, path)}") from error
    return module


def offered() -> dict[str, list[EntryPoint]]:
    """What installed packages offer, by name; nothing is imported to find out.

    More than one entry point under a name are of different packages.
    """
    found: dict[str, list[EntryPoint]] = {}
    seen: set[tuple[str, str, str]] = set()
    for point in entry_points(group=GROUP):
        # An editable installation is met twice where the project's folder is on the path, too.
        identity = (_package(point), point.name, point.value)
        if identity not in seen:
            seen.add(identity)
            found.setdefault(point.name, []).append(point)
    return found


def load_offered(name: str, points: list[EntryPoint]) -> Any:
    """The object behind the entry point called `name`.

    Raises:
        SettingsError: several packages offer that name, or it cannot be imported.
    """
    if len(points) > 1:
        packages = " and ".join(sorted(describe(point) for point in points))
        raise SettingsError(
            f"family: {name!r} is offered by {packages}; uninstall all but one of them, or name "
            "the family as path/to/file.py:ClassName"
        )
    try:
        return points[0].load()
    except UserError:
        raise
    except Exception as error:
        raise SettingsError(
            f"family: {name!r} is offered by {describe(points[0])}, but cannot be imported: "
            f"{_cause(error)}; mend that package or uninstall it"
        ) from error


def describe(point: EntryPoint) -> str:
    """Which package an entry point is of, and what it names there, for a message."""
    return f"{_package(point)} ({point.value})"


def _package(point: EntryPoint) -> str:
    if point.dist is None:
        return "an installed package"
    return f"{point.dist.name} {point.dist.version}"


def _cause(error: Exception, path: Path | None = None) -> str:
    """The error in a line, with the line of `path` that it came from."""
    text = f"{type(error).__name__}: {error}"
    if path is None or isinstance(error, SyntaxError):  # which says its line itself
        return text
    trace, line = error.__traceback__, None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return text if line is None else f"{text} (line {line})"
