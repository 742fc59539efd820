"""Whatever pruner the settings may name, there is one."""

from __future__ import annotations

from typing import get_args

import pytest
from optuna.pruners import BasePruner

from orchestrator.proposing.pruner import make_pruner
from orchestrator.settings.schema import PrunerSettings

KINDS = get_args(PrunerSettings.model_fields["kind"].annotation)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_a_pruner(kind):
    needed = {"upper": 1.0} if kind == "threshold" else {}
    assert isinstance(make_pruner(PrunerSettings(kind=kind, **needed), 3), BasePruner)
