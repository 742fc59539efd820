"""How a preparation tells what it does; the functions are the caller's."""

from __future__ import annotations

from collections.abc import Callable

Say = Callable[[str], None]
Step = Callable[[int, int], None]  # called with (things done, things in all)


def silent(done: int, total: int) -> None:
    """A step that nobody looks at."""
