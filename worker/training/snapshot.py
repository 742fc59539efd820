"""A copy of a training's state in the host's memory, to be written while training goes on."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class Snapshot:
    """Memory that is used again by every copy; there is one copy at a time."""

    def __init__(self) -> None:
        self._memory: defaultdict[tuple[Any, ...], list[Tensor]] = defaultdict(list)
        self._used: defaultdict[tuple[Any, ...], int] = defaultdict(int)
        self._copies: dict[int, tuple[Tensor, Tensor]] = {}  # of what, by its id; and the copy

    @torch.no_grad()
    def take(self, content: Any) -> tuple[Any, Callable[[], None]]:
        """Copy nested dictionaries, lists and tuples with all their tensors.

        Tensors on GPUs are copied in the order of their work, which is not waited for.

        Returns:
            The copy, and what waits until it is whole; the one before may not be read any more.
        """
        self._used.clear()
        copied = self._copied(content)
        gpus = {source.device for source, _ in self._copies.values() if source.is_cuda}
        self._copies.clear()
        events = [torch.cuda.current_stream(gpu).record_event() for gpu in gpus]

        def wait() -> None:
            for event in events:
                event.synchronize()

        return copied, wait

    def _copied(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            if id(value) not in self._copies:
                copy = self._place(value).copy_(value, non_blocking=value.is_cuda)
                self._copies[id(value)] = value, copy
            return self._copies[id(value)][1]
        if isinstance(value, OrderedDict):
            found = OrderedDict((key, self._copied(item)) for key, item in value.items())
            found.__dict__.update(vars(value))  # where modules write down their versions
            return found
        if isinstance(value, dict):
            return {key: self._copied(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(self._copied(item) for item in value)
        return value

    def _place(self, tensor: Tensor) -> Tensor:
        """Memory of the tensor's shape and layout; pinned, so that a GPU need not be waited for."""
        kind = (tensor.dtype, tensor.shape, tensor.stride(), tensor.is_cuda)
        number, places = self._used[kind], self._memory[kind]
        self._used[kind] += 1
        if number == len(places):
            places.append(torch.empty_like(tensor, device="cpu", pin_memory=tensor.is_cuda))
        return places[number]
