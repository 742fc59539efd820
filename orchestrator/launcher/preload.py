"""What the fork server should import ahead for a family; found out without importing any of it."""

from __future__ import annotations

import ast
import importlib.util
from importlib.metadata import entry_points
from pathlib import Path

from protocol.doors import CUT_MODEL, FAMILIES
from protocol.script import SCRIPT

_FOLDER = Path(__file__).resolve().parents[2].joinpath(*FAMILIES.split("."))
_GROUP = "tomostudy.families"


def modules_of(reference: str, stages: int = 1) -> tuple[str, ...]:
    """The modules that a family's trials need, so that they are imported once for all of them.

    Of a user's own file these are the libraries that it imports, not the file itself: its code
    may touch a GPU, which must not happen before the fork.
    """
    return _family_modules(reference) + (CUT_MODEL if stages > 1 else ())


def _family_modules(reference: str) -> tuple[str, ...]:
    if reference == SCRIPT:
        return ()
    if ":" in reference:
        return _libraries(Path(reference.rpartition(":")[0]))
    if _is_own(reference):
        return (f"{FAMILIES}.{reference}",)
    return tuple(point.module for point in entry_points(group=_GROUP, name=reference))


def clash(reference: str) -> str | None:
    """A sentence where an installed package offers a family under a name that models/ has."""
    points = (
        ()
        if ":" in reference or reference == SCRIPT
        else entry_points(group=_GROUP, name=reference)
    )
    if not points or not _is_own(reference):
        return None
    others = sorted({point.dist.name if point.dist else point.value for point in points})
    return (
        f"family {reference} is the project's own; the one that {' and '.join(others)} offers "
        "under this name is not used"
    )


def _is_own(name: str) -> bool:
    return name.isidentifier() and (_FOLDER / f"{name}.py").is_file()


def _libraries(path: Path) -> tuple[str, ...]:
    try:
        body = ast.parse(path.read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return ()  # checking the settings says what is wrong with it
    names: list[str] = []
    for statement in body:
        if isinstance(statement, ast.Import):
            names += [alias.name for alias in statement.names]
        elif isinstance(statement, ast.ImportFrom) and statement.module and not statement.level:
            names.append(statement.module)
    return tuple(name for name in dict.fromkeys(names) if _is_installed(name))


def _is_installed(module: str) -> bool:
    """Whether the fork server would find it: what lies beside the user's file, it would not."""
    try:
        return importlib.util.find_spec(module.partition(".")[0]) is not None
    except ValueError:  # of a module that is being run rather than imported
        return False
