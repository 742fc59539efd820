"""From a name to a family class: one of ours, one of a package, or one in a file of the user's.

A package offers families as entry points of the group `tomostudy.families`, in its pyproject.toml:

    [project.entry-points."tomostudy.families"]
    my_family = "my_package.my_module:MyFamily"
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import logging
import sys
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from models.family import Family
from protocol.errors import SettingsError, UserError

GROUP = "tomostudy.families"  # of entry points
FILE_MODULE = "tomostudy_family_"  # what the name of a module from a file begins with
OURS = Path(__file__).parent / "families"

_log = logging.getLogger(__name__)


def load_family(reference: str) -> type[Family[Any, Any]]:
    """The family class that `reference` names.

    Args:
        reference: a name in models/families/, a name that an installed package offers as an entry
            point of the group `tomostudy.families`, or `path/to/file.py:ClassName`. Under a name
            that both have, models/ wins, and a warning says so.

    Raises:
        SettingsError: there is no such family, or its module cannot be imported.
    """
    if ":" in reference:
        path, _, class_name = reference.rpartition(":")
        module = import_file(Path(path))
        return _checked(getattr(module, class_name, None), f"{path} has", class_name)
    points = _offered().get(reference, [])
    if reference in _our_names():
        for point in points:
            message = "family %r is the one in models/, not that of %s"
            _log.warning(message, reference, _described(point))
        return _our_family(reference)
    if points:
        found = _load_offered(reference, points)
        return _checked(found, f"{_described(points[0])} is", reference)
    raise SettingsError(
        f"there is no family {reference!r}; known are {', '.join(known_families())}, "
        "or name your own as path/to/file.py:ClassName",
        key="family",
    )


def known_families() -> list[str]:
    """The names of the families in models/ and of those that installed packages offer."""
    return sorted({*_our_names(), *_offered()})


def import_file(path: Path) -> ModuleType:
    """The module in the Python file `path`, which may import other files beside it.

    The same file is imported once in a process, so that its classes stay the same.

    Raises:
        SettingsError: there is no such file, or importing it fails.
    """
    if not path.is_file():
        raise SettingsError(f"there is no file {path}", key="family")
    path = path.resolve()
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:12]
    name = f"{FILE_MODULE}{path.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise SettingsError(f"{path} is not a Python file, whose name ends in .py", key="family")
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
        raise SettingsError(
            f"{path} cannot be imported: {_cause(error, path)}", key="family"
        ) from error
    return module


# ---------------------------------------------------------------------------- ours


def _our_names() -> list[str]:
    return [file.stem for file in OURS.glob("*.py") if file.stem != "__init__"]


def _our_family(name: str) -> type[Family[Any, Any]]:
    """The one complete family that models/families/NAME.py defines; what it imports is not its."""
    module = importlib.import_module(f"models.families.{name}")
    families = [member for member in vars(module).values() if _is_family(member)]
    own = [family for family in families if family.__module__ == module.__name__]
    return _checked(own[0] if own else None, f"models/families/{name}.py has", name)


# ---------------------------------------------------------------------------- a package's


def _offered() -> dict[str, list[EntryPoint]]:
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


def _load_offered(name: str, points: list[EntryPoint]) -> Any:
    """The object behind the entry point called `name`.

    Raises:
        SettingsError: several packages offer that name, or it cannot be imported.
    """
    if len(points) > 1:
        packages = " and ".join(sorted(_described(point) for point in points))
        raise SettingsError(
            f"{name!r} is offered by {packages}; uninstall all but one of them, or name "
            "the family as path/to/file.py:ClassName",
            key="family",
        )
    try:
        return points[0].load()
    except UserError:
        raise
    except Exception as error:
        raise SettingsError(
            f"{name!r} is offered by {_described(points[0])}, but cannot be imported: "
            f"{_cause(error)}; mend that package or uninstall it",
            key="family",
        ) from error


def _described(point: EntryPoint) -> str:
    """Which package an entry point is of, and what it names there, for a message."""
    return f"{_package(point)} ({point.value})"


def _package(point: EntryPoint) -> str:
    if point.dist is None:
        return "an installed package"
    return f"{point.dist.name} {point.dist.version}"


# ---------------------------------------------------------------------------- what was found


def _checked(found: Any, owner: str, name: str) -> type[Family[Any, Any]]:
    if not _is_family(found):
        raise SettingsError(
            f"{owner} no complete Family class named {name!r}; expected a class that "
            f"derives from models.family.Family{_missing(found)}",
            key="family",
        )
    family: type[Family[Any, Any]] = found
    return family


def _is_family(member: Any) -> bool:
    return inspect.isclass(member) and issubclass(member, Family) and not _missing(member)


def _missing(family: Any) -> str:
    """What a family class still lacks, as the end of a sentence."""
    if not (inspect.isclass(family) and issubclass(family, Family)):
        return ""
    attributes = [key for key in ("Settings", "Data", "metrics") if not hasattr(family, key)]
    lacking = [*attributes, *sorted(family.__abstractmethods__)]
    return f" and has {', '.join(lacking)}" if lacking else ""


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
