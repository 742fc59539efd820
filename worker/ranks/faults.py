"""What an exception on a rank means: judged by its type, here alone."""

from __future__ import annotations

import torch

from protocol.errors import SettingsError, UserError, chain, is_full
from protocol.messages import Fault, Plan
from worker.ranks.group import JoinError, peer_loss
from worker.ranks.loading import LoaderKilled
from worker.ranks.memory import out_of_memory

MESSAGE, TRACEBACK = 4_000, 64_000  # characters of an event that are kept


def fault_of(error: BaseException, plan: Plan) -> Fault:
    """The fault that `error` is a sign of."""
    if any(is_full(cause) for cause in chain(error)):
        return Fault.DISK
    if isinstance(error, JoinError):
        return Fault.MACHINE
    if peer_loss(error) is not None:
        return Fault.PEER
    if out_of_memory(error, limited=plan.memory_gb is not None):
        return Fault.MEMORY
    if any(isinstance(cause, LoaderKilled) for cause in chain(error)):
        return Fault.LOADER
    if isinstance(error, SettingsError) and _is_of_point(error, plan):
        return Fault.RECIPE
    if isinstance(error, UserError):
        return Fault.USER
    if isinstance(error, torch.AcceleratorError):
        return Fault.DEVICE
    return Fault.DEFECT


def _is_of_point(error: SettingsError, plan: Plan) -> bool:
    """Whether it is what the sampler chose that the family refuses; the rest was checked before."""
    section, _, key = error.key.partition(".")
    return section == "recipe" and (not key or key.split(".")[0] in plan.searched)


def bounded(text: str, most: int) -> str:
    """Text that can be told on one line of an event: lone surrogates escaped, its middle cut."""
    text = text.encode(errors="backslashreplace").decode()
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]} … ({len(text) - 2 * half} characters) … {text[-half:]}"
