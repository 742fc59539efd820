"""One model, or those of a trial's folds, run on as many samples at once as memory holds."""

from __future__ import annotations

import gc
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.program import Program
from protocol.errors import UserError
from worker.calls.prediction.task import Say
from worker.machine.memory import out_of_memory


class Ensemble:
    """Programs of one kind; what they give is averaged over them."""

    def __init__(
        self,
        programs: Sequence[Program],
        device: torch.device,
        batch: int,
        say: Say,
        *,
        limited: bool = False,
    ) -> None:
        """Start with `batch` samples at once.

        Args:
            programs: on their device, in evaluation mode.
            limited: whether `limit_memory` holds in this process.
        """
        self.programs = programs
        self.batch = batch
        self._device = device
        self._say = say
        self._limited = limited

    @torch.no_grad()
    def __call__(self, *inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """The mean over the programs of what they make of samples.

        Where memory runs out, half as many samples are run at once from then on.

        Args:
            inputs: of each input of a program (N, …), N samples.

        Returns:
            (N, …), float32.

        Raises:
            UserError: memory does not suffice for one sample, or a program gives no numbers.
        """
        count = len(inputs[0])
        found: list[NDArray[np.float32]] = []
        start = 0
        while start < count:
            stop = min(start + self.batch, count)
            made = self._tried([values[start:stop] for values in inputs])
            if made is None:
                self._halve(stop - start)
                continue
            _check(made)
            found.append(made)
            start = stop
        return np.concatenate(found)

    def _tried(self, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32] | None:
        """The mean; None where memory ran out."""
        try:
            given = [torch.from_numpy(values).to(self._device) for values in inputs]
            total: Tensor | None = None
            for program in self.programs:
                made = program(*given)[0].float()
                total = made if total is None else total + made
            assert total is not None, "there is a program"
            mean: NDArray[np.float32] = (total / len(self.programs)).cpu().numpy()
            return mean
        except Exception as error:
            if not out_of_memory(error, limited=self._limited):
                raise
        return None  # outside: while it is handled, the error holds on to all tensors

    def _halve(self, held: int) -> None:
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        if held == 1:
            spared = [program.spare_memory() for program in self.programs]
            if any(spared):
                self._say("memory ran out within a sample: going on with half as much at once")
                return
            raise UserError(
                f"the memory of {self._device} does not suffice for one sample at a time; use "
                "another device, such as cpu, or allow more (--memory_gb)",
                key="--device",
            )
        self.batch = held // 2
        self._say(f"memory ran out with {held} at once: going on with {self.batch}")


def _check(made: NDArray[np.float32]) -> None:
    bad = int(made.size - np.isfinite(made).sum())
    if bad:
        raise UserError(
            f"the model makes {bad} values of {made.size} NaN or infinite; choose another trial"
        )
