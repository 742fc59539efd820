import os

import pytest
import torch

from protocol.errors import SettingsError
from worker.ranks.determinism import deterministic


def test_torch_takes_deterministic_algorithms_within_and_what_it_took_before_afterwards(
    monkeypatch,
):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    with deterministic(True, "toy"):
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.backends.cudnn.deterministic
        assert not torch.backends.cudnn.benchmark
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert not torch.are_deterministic_algorithms_enabled()
    assert not torch.backends.cudnn.deterministic
    with deterministic(False, "toy"):
        assert not torch.are_deterministic_algorithms_enabled()


def test_an_operator_without_a_deterministic_form_is_named_with_its_family():
    sentence = pytest.raises(SettingsError, match=r"family toy needs put_, of which")
    with sentence as caught, deterministic(True, "toy"):
        torch.ones(3).put_(torch.tensor([0]), torch.ones(1), accumulate=False)
    assert caught.value.key == "deterministic"


def test_another_error_stays_what_it_is():
    with pytest.raises(RuntimeError, match="of another kind"), deterministic(True, "toy"):
        raise RuntimeError("of another kind")
