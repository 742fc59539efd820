"""What Slurm says of one's jobs: submitit's watcher, asking squeue instead of sacct.

sacct answers only where the cluster keeps accounts. squeue knows a job for some minutes after its
end (MinJobAge); what it does not list any more is asked of `scontrol show job`.
"""

from __future__ import annotations

import getpass
from dataclasses import dataclass

from submitit.core.core import InfoWatcher

from orchestrator.launcher.slurm.ask import Away, Refused, ask, fields_of

_FORMAT = "%i|%T|%r|%N|%L|%j"  # last what may hold anything
_FIELDS = ("JobID", "State", "Reason", "NodeList", "TimeLeft", "JobName")
_LOOKS = 3  # answers without a job, and as many of scontrol, after which it is gone


@dataclass(frozen=True, kw_only=True)
class JobState:
    """A job, as Slurm sees it."""

    id: str
    name: str
    state: str  # Slurm's own word, such as PENDING or NODE_FAIL; GONE: it knows nothing of it
    reason: str = ""  # why it waits, or how it ended
    nodes: str = ""  # such as n[1-2]
    left: float | None = None  # seconds until its time limit

    @property
    def waits(self) -> bool:
        return self.state in ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED")

    @property
    def over(self) -> bool:
        return self.state in _OVER


_OVER = (
    "COMPLETED",
    "FAILED",
    "CANCELLED",
    "TIMEOUT",
    "DEADLINE",
    "NODE_FAIL",
    "BOOT_FAIL",
    "PREEMPTED",
    "OUT_OF_MEMORY",
    "REVOKED",
    "GONE",
)


class QueueWatcher(InfoWatcher):
    """Follows the jobs that were submitted; of one that is over the last word is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.states: dict[str, JobState] = {}  # by Slurm's number
        self.trouble = ""  # why the last look found nothing
        self._missed: dict[str, int] = {}

    def _make_command(self) -> list[str]:
        user = getpass.getuser()
        return ["squeue", "--noheader", "--states=all", f"--user={user}", f"--format={_FORMAT}"]

    def read_info(self, string: bytes | str) -> dict[str, dict[str, str]]:
        text = string if isinstance(string, str) else string.decode(errors="replace")
        found = {}
        for line in text.splitlines():
            fields = line.strip().split("|", len(_FIELDS) - 1)
            if len(fields) == len(_FIELDS):
                found[fields[0]] = dict(zip(_FIELDS, fields, strict=True))
        return found

    def get_state(self, job_id: str, mode: str = "standard") -> str:
        state = self.states.get(job_id)
        return "UNKNOWN" if state is None else state.state

    def update(self) -> None:
        """Look once; where Slurm does not answer, what was known stays, and `trouble` says why."""
        self._num_calls += 1
        try:
            listed = self.read_info(ask(*self._make_command()))
            told = {number: _state(fields) for number, fields in listed.items()}
            for number in self._registered - listed.keys():
                before = self.states.get(number)
                if before is None or not before.over:
                    self._look_for(number, told)
        except (Away, Refused) as error:
            self.trouble = str(error)
            return
        self.states |= told
        self.trouble = ""

    def _look_for(self, number: str, told: dict[str, JobState]) -> None:
        """Ask of a job that squeue does not list; a controller that was just started lists less."""
        try:
            shown = ask("scontrol", "--oneliner", "show", "job", number)
        except Refused:
            self._missed[number] = self._missed.get(number, 0) + 1
            if self._missed[number] >= _LOOKS:
                name = self.states[number].name if number in self.states else ""
                told[number] = JobState(id=number, name=name, state="GONE")
            return
        fields = fields_of(shown)
        told[number] = JobState(
            id=number,
            name=fields.get("JobName", ""),
            state=fields.get("JobState", "UNKNOWN"),
            reason=fields.get("Reason", ""),
            nodes=fields.get("NodeList", ""),
        )


def _state(fields: dict[str, str]) -> JobState:
    return JobState(
        id=fields["JobID"],
        name=fields["JobName"],
        state=fields["State"],
        reason="" if fields["Reason"] == "None" else fields["Reason"],
        nodes=fields["NodeList"],
        left=_seconds(fields["TimeLeft"]),
    )


def _seconds(left: str) -> float | None:
    """squeue's days-hours:minutes:seconds; None of UNLIMITED and the like."""
    days, _, clock = left.rpartition("-")
    parts = clock.split(":")
    if not all(part.isdigit() for part in parts) or len(parts) < 2:
        return None
    seconds = 0.0
    for part in parts:
        seconds = 60 * seconds + int(part)
    return seconds + 86400 * (int(days) if days.isdigit() else 0)
