"""Tensors and words between the processes of one copy of a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from worker.ranks.group import Group


@dataclass(frozen=True)
class _Here:
    """Stands in a message for the tensor that follows it."""

    shape: tuple[int, ...]
    dtype: torch.dtype


def send(chain: Group, content: Any, to: int) -> None:
    """Send nested dictionaries, lists and tuples of tensors and plain values to stage `to`."""
    tensors: list[Tensor] = []
    words = _without_tensors(content, tensors)
    dist.send_object_list([words], group_dst=to, group=chain.members, device=chain.message_device)
    for tensor in tensors:
        moved = tensor.detach().to(chain.device).contiguous()
        dist.send(moved, group_dst=to, group=chain.members)


def receive(chain: Group, source: int, device: torch.device | None = None) -> Any:
    """What stage `source` sends next, its tensors on `device`, or on the stage's own."""
    box: list[Any] = [None]
    dist.recv_object_list(box, group_src=source, group=chain.members, device=chain.message_device)
    return _with_tensors(box[0], chain, source, device or chain.device)


def _without_tensors(content: Any, tensors: list[Tensor]) -> Any:
    if isinstance(content, Tensor):
        tensors.append(content)
        return _Here(tuple(content.shape), content.dtype)
    if isinstance(content, dict):
        return {key: _without_tensors(value, tensors) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return type(content)(_without_tensors(value, tensors) for value in content)
    return content


def _with_tensors(words: Any, chain: Group, source: int, device: torch.device) -> Any:
    """`words` with the tensors in their places, received in the order in which they were sent."""
    if isinstance(words, _Here):
        tensor = torch.empty(words.shape, dtype=words.dtype, device=chain.device)
        dist.recv(tensor, group_src=source, group=chain.members)
        return tensor.to(device)
    if isinstance(words, dict):
        return {key: _with_tensors(value, chain, source, device) for key, value in words.items()}
    if isinstance(words, list | tuple):
        return type(words)(_with_tensors(value, chain, source, device) for value in words)
    return words
