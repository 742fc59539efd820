"""The names of what the deciding half may not import."""

import importlib
import re
from pathlib import Path

import pytest

import orchestrator
from protocol import doors
from protocol.doors import Call

MODULES = [doors.FORK_SERVER, doors.RANK, *doors.CUT_MODEL, doors.FAMILIES]
NAMED = re.compile(r"[\"'](worker|models|data)(\.\w+)+(:\w+)?[\"']")
GONE = "worker.py"  # says where the training half went


@pytest.mark.parametrize("call", Call)
def test_every_call_leads_to_a_function(call):
    module, _, name = call.partition(":")
    assert module == call.module
    assert callable(getattr(importlib.import_module(module), name))


@pytest.mark.parametrize("module", MODULES)
def test_every_module_is_there(module):
    assert importlib.import_module(module).__name__ == module


def test_the_deciding_half_names_no_module_of_another_wing_anywhere_else():
    root = Path(orchestrator.__file__).parent
    found = [
        f"{file.relative_to(root)}: {match[0]}"
        for file in root.rglob("*.py")
        for match in NAMED.finditer(file.read_text())
        if file.name != GONE and not match[0].strip("\"'").startswith("data.")
    ]
    assert found == []
