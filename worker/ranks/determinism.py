"""What a rank needs on a GPU to compute the same bits from the same numbers."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.utils.deterministic

from protocol.errors import SettingsError

_REFUSED = re.compile(r"(\w+) does not have a deterministic implementation")
_WORKSPACES = "CUBLAS_WORKSPACE_CONFIG"


@contextmanager
def deterministic(wanted: bool, family: str) -> Iterator[None]:
    """Let torch take deterministic algorithms alone within; to be entered before CUDA is used.

    Raises:
        SettingsError: an operator of the family has none.
    """
    if not wanted:
        yield
        return
    os.environ.setdefault(_WORKSPACES, ":4096:8")  # cuBLAS reads it when it is first used
    cudnn = torch.backends.cudnn
    memory: Any = torch.utils.deterministic  # whose attribute is made when it is asked for
    before = (cudnn.deterministic, cudnn.benchmark, memory.fill_uninitialized_memory)
    mode = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("error")
    # Nothing here reads memory that it has not written, and filling it takes time.
    cudnn.deterministic, cudnn.benchmark, memory.fill_uninitialized_memory = True, False, False
    try:
        yield
    except RuntimeError as error:
        refused = _REFUSED.search(str(error))
        if refused is None:
            raise
        raise SettingsError(
            f"found true, but the family {family} needs {refused[1]}, of which torch has no "
            "deterministic form on this device; remove it, or train another family",
            key="deterministic",
        ) from error
    finally:
        torch.set_deterministic_debug_mode(mode)
        cudnn.deterministic, cudnn.benchmark, memory.fill_uninitialized_memory = before
