"""Functions compiled to machine code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def compiled(function: Callable[..., Any]) -> Any:
    """`numba.njit` that releases the interpreter and caches on disk wherever it may write."""
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # no writable place for the cache
        return numba.njit(nogil=True)(function)
