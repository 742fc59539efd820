"""Whatever sampler the settings may name, there is one."""

from __future__ import annotations

from typing import get_args

import pytest
from optuna.samplers import BaseSampler

from orchestrator.proposing.sampler import _make
from orchestrator.settings.schema import Choices, SamplerSettings

KINDS = get_args(SamplerSettings.model_fields["kind"].annotation)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_every_kind_is_a_sampler(kind):
    search = {"width": Choices(choices=[1, 2])}
    assert isinstance(_make(SamplerSettings(kind=kind), search, 0, 1, 0), BaseSampler)
