"""What follows when a trial has run out of memory: half the micro-batch, down to one sample.

An optimiser step stays what it was: fewer samples pass the model at once, more often. Everything
here is read from the plan of the attempt that ended, so that a kill at any time changes nothing.
"""

from __future__ import annotations

from protocol.messages import Plan


def micro_batch(plan: Plan) -> int:
    """How many samples an attempt runs through the model at once."""
    batch_size = plan.recipe.training.batch_size
    return min(batch_size, plan.micro_batch or batch_size)


def smaller(plan: Plan) -> int | None:
    """The micro-batch of the attempt after one that ran out of memory; None where it had 1.

    A command of the user's cannot be told to take fewer samples at once.
    """
    return None if plan.script is not None else micro_batch(plan) // 2 or None


def limited(plan: Plan) -> bool:
    """Whether the memory of the attempt's processes is limited, rather than that of GPUs."""
    return plan.memory_gb is not None and "cpu" in plan.devices


def sentence(plan: Plan, rank: int) -> str:
    """What did not fit where, and what follows or can be done."""
    device = plan.devices[rank]
    limit = "" if plan.memory_gb is None else f", limited to {plan.memory_gb:g} GiB"
    where = f"rank {rank} ({device}{limit})"
    if plan.script is not None:
        return f"out of memory on {where}; search smaller models or batches"
    left = smaller(plan)
    if left is not None:
        return (
            f"out of memory on {where} with micro-batches of {micro_batch(plan)}; "
            f"it goes on with {left} at the same effective batch"
        )
    return (
        f"out of memory on {where} even with one sample at a time; narrow the search to smaller "
        f"models or inputs, or {_more(plan)}"
    )


def _more(plan: Plan) -> str:
    """Where more memory could come from."""
    if plan.stages > 1 and plan.schedule == "gpipe":
        return "set parallel.schedule to 1f1b, which holds fewer micro-batches at once"
    if plan.memory_gb is not None:
        return "raise limits.memory_gb"
    return "use devices with more memory, or more of them (parallel.kind: model)"


def detail(plan: Plan, rank: int, message: str) -> dict[str, object]:
    """What the outcome records of a trial that fits nowhere."""
    return {
        "rank": rank,
        **({} if plan.script is not None else {"micro_batch": micro_batch(plan)}),
        "memory_gb": plan.memory_gb,
        "message": message.partition("\n")[0],
    }
