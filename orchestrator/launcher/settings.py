"""Where trials run: on this machine, or as jobs of a Slurm cluster."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

_SBATCH = "as sbatch's"
DETACHED = "TOMOSTUDY_DETACHED"  # in the environment of an orchestrator that is a job itself
_TIME = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?")
_GPUS = re.compile(r"(?:^|,)gpu(?::[^:,()]+)*?(?::(\d+))?(?:\([^)]*\))?(?=,|$)")


class OrchestratorJob(BaseModel):
    """The small job in which `--detach` puts the orchestrator itself; sbatch's own names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    partition: str | None = Field(None, description="null: the cluster's default, not the trials'")
    time: str | int | None = Field(
        None, description="after which it makes room for itself anew; null: the partition's default"
    )
    cpus_per_task: int = Field(2, ge=1, description=_SBATCH)
    mem_gb: float = Field(4.0, gt=0, description="GiB")
    options: dict[str, str | int | float | bool] = Field(
        {}, description="any other option of sbatch, without its dashes"
    )

    @field_validator("time")
    @classmethod
    def _readable(cls, time: str | int | None) -> str | int | None:
        return _checked_time(time)


class LauncherSettings(BaseModel):
    """Local, or Slurm's sbatch by its own names; a job runs one trial after the other."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["local", "slurm"] = Field(
        "local", description="this machine, or jobs of a Slurm cluster; the rest is for slurm"
    )
    jobs: int = Field(4, ge=1, description="at a time, at most: each trains one trial at a time")
    nodes: int = Field(1, ge=1, description="of a job: a trial's processes are spread over them")
    time: str | int | None = Field(
        None,
        description="of a job, such as 04:00:00 or 2-00:00:00, a number counts minutes; a trial "
        "may take many jobs; null: the partition's default",
    )
    partition: str | None = Field(None, description=_SBATCH)
    account: str | None = Field(None, description=_SBATCH)
    qos: str | None = Field(None, description=_SBATCH)
    constraint: str | None = Field(None, description=_SBATCH)
    reservation: str | None = Field(None, description=_SBATCH)
    exclude: str | None = Field(None, description=_SBATCH)
    nodelist: str | None = Field(None, description=_SBATCH)
    gres: str | None = Field(None, description="such as gpu:a100:4")
    gpus_per_node: int | None = Field(
        None, ge=0, description="neither this nor gres: trials train on CPUs"
    )
    cpus_per_task: int | None = Field(
        None, ge=1, description="CPUs of a node, for all of a trial's processes there; null: each 1"
    )
    mem_gb: float | None = Field(
        None, gt=0, description="GiB of a node; null: the partition's default"
    )
    options: dict[str, str | int | float | bool] = Field(
        {}, description="any other option of sbatch, without its dashes"
    )
    setup: list[str] = Field(
        [], description="lines of shell before the program, such as module load cuda/12"
    )
    signal_seconds: int = Field(
        120, ge=10, description="before a job's time limit: its trial saves, and goes on in another"
    )
    reuse: bool = Field(
        True, description="a job takes further trials until too little of its time is left"
    )
    idle_seconds: float = Field(
        60.0, gt=0, description="for which a job without a trial waits for one before it leaves"
    )
    interface: str | None = Field(
        None,
        description="of each node, such as ib0, by which a trial's nodes meet; null: found out",
    )
    orchestrator: OrchestratorJob = OrchestratorJob()

    @property
    def gpus(self) -> int:
        """Of a node."""
        if self.gpus_per_node is not None:
            return self.gpus_per_node
        return sum(int(count or 1) for count in _GPUS.findall(self.gres or ""))

    @property
    def seconds(self) -> float | None:
        """A job's time limit; None where the partition's default decides."""
        return None if self.time is None else seconds_of(self.time)

    @field_validator("time")
    @classmethod
    def _readable(cls, time: str | int | None) -> str | int | None:
        return _checked_time(time)

    @model_validator(mode="after")
    def _leaves_time(self) -> LauncherSettings:
        if self.seconds is not None and self.seconds <= 2 * self.signal_seconds:
            raise ValueError(
                f"a job of time: {self.time} would have to leave as soon as it has begun, as it is "
                f"asked to {self.signal_seconds} s before its end; expected a time of more than "
                "twice launcher.signal_seconds"
            )
        return self


def seconds_of(time: str | int) -> float:
    """sbatch's ways to write a time limit.

    They are: minutes, minutes:seconds, hours:minutes:seconds, days-hours, days-hours:minutes,
    days-hours:minutes:seconds.

    Raises:
        ValueError: it is none of them.
    """
    found = _TIME.fullmatch(str(time))
    if found is None:
        raise ValueError(
            f"{time!r} is no time limit; write hours:minutes:seconds, days-hours:minutes:seconds, "
            "or minutes"
        )
    days, *parts = (None if part is None else int(part) for part in found.groups())
    numbers = [part for part in parts if part is not None]
    if days is not None:
        hours, minutes, seconds = (*numbers, 0, 0)[:3]
    elif len(numbers) == 3:
        hours, minutes, seconds = numbers
    else:
        hours, (minutes, seconds) = 0, (*numbers, 0)[:2]
    return float((((days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds)


def _checked_time(time: str | int | None) -> str | int | None:
    if time is not None and seconds_of(time) <= 0:
        raise ValueError(f"{time!r} is no time at all")
    return time
