"""Validation and pictures of a model that is cut into stages: the first stage asks, all answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from torch import nn

from worker.pipeline.part import Part
from worker.pipeline.relay import Proxy, Relay, serve
from worker.ranks.stopping import StopAgreed
from worker.ranks.trial import Trial
from worker.ranks.validate import Validator

T = TypeVar("T")


def split_metrics(
    trial: Trial,
    part: nn.Module,
    validator: Validator | None,
    stop_requested: Callable[[], bool],
) -> dict[str, float]:
    """The mean of every metric over all samples of all replicas, on all ranks.

    Args:
        validator: on the first stages.

    Raises:
        StopAgreed: rank 0 saw a request to stop.
    """
    trial.group.replicas.share_buffers(part)

    def judge(model: nn.Module) -> dict[str, float] | None:
        assert validator is not None
        try:
            return validator.metrics(model, stop_requested, trial.tick)
        except StopAgreed:
            return None

    found = trial.group.from_first(with_whole(trial, part, judge))
    if found is None:
        raise StopAgreed
    return found


def with_whole(trial: Trial, part: nn.Module, use: Callable[[nn.Module], T]) -> T | None:
    """Let the first stage `use` the whole model, while the other stages of its copy help.

    Returns:
        What `use` gave; None on the other stages.
    """
    assert isinstance(part, Part)
    relay = Relay(part, trial.group.chain)
    if not trial.group.leads:
        serve(relay, trial.tick)
        return None
    found = use(Proxy(relay))
    relay.end()
    return found
