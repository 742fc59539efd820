"""What an exception on a rank means: judged by its type, here alone."""

from __future__ import annotations

import traceback

import torch

from protocol.errors import SettingsError, UserError, chain, is_full
from protocol.messages import Failed, Fault, Plan
from worker.machine.memory import out_of_memory
from worker.ranks.group import JoinError, peer_loss
from worker.ranks.loading import LoaderKilled, loader_loss

MESSAGE, TRACEBACK = 4_000, 64_000  # characters of an event that are kept
# CUDA's codes of what the program asked for, which another GPU would answer alike: an invalid
# value, configuration or function of a kernel, no kernel for this architecture, a wrong address,
# an assertion in a kernel.
_ASKED_FOR = (1, 9, 98, 209, 700, 710, 716, 717, 718)
_ASKED_FOR_WORDS = ("device-side assert", "an illegal memory access", "misaligned address")
_PLAIN = (Fault.USER, Fault.RECIPE, Fault.DISK)  # sentences for people, without a traceback


def failure(plan: Plan, rank: int, error: BaseException) -> Failed:
    """The event of a rank's end, with its cause called by the name that counts."""
    cause = cause_of(error)
    fault = fault_of(cause, plan)
    trace = "" if fault in _PLAIN else "".join(traceback.format_exception(error))
    return Failed(
        attempt=plan.attempt,
        rank=rank,
        error=type(cause).__name__,
        message=_bounded(_words(cause), MESSAGE),
        traceback=_bounded(trace, TRACEBACK),
        user_error=fault is Fault.USER,
        fault=fault,
    )


def cause_of(error: BaseException) -> BaseException:
    """The loss of another process, where that is what `error` comes from; else `error`."""
    if isinstance(error, UserError):
        return error
    return peer_loss(error) or loader_loss() or error


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
    return Fault.DEVICE if _is_of_device(error) else Fault.DEFECT


def _is_of_point(error: SettingsError, plan: Plan) -> bool:
    """Whether it is what the sampler chose that the family refuses; the rest was checked before."""
    section, _, key = error.key.partition(".")
    return section == "recipe" and (not key or key.split(".")[0] in plan.searched)


def _is_of_device(error: BaseException) -> bool:
    """Whether a GPU has failed by itself, wherever in the chain of causes that was told."""
    for cause in chain(error):
        if isinstance(cause, torch.AcceleratorError) and hasattr(cause, "error_code"):
            return cause.error_code not in _ASKED_FOR
        if isinstance(cause, RuntimeError) and str(cause).startswith("CUDA error: "):
            return not any(words in str(cause) for words in _ASKED_FOR_WORDS)
    return False


def _words(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # of the family's own making
        return f"a {type(error).__name__} that cannot be put into words"


def _bounded(text: str, most: int) -> str:
    """Text that can be told on one line of an event: lone surrogates escaped, its middle cut."""
    text = text.encode(errors="backslashreplace").decode()
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]} … ({len(text) - 2 * half} characters) … {text[-half:]}"
