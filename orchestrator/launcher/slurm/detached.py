"""The orchestrator itself as a small job: on a login node that ends long processes it lives there.

Before its own time limit it submits the job that goes on in its stead, and leaves; the jobs of the
trials go on meanwhile, and are taken up again.
"""

from __future__ import annotations

import json
import os
import shlex
import time
from dataclasses import dataclass
from pathlib import Path

from orchestrator.launcher.settings import DETACHED, LauncherSettings
from orchestrator.launcher.slurm.ask import Away, Refused, ask, fields_of, number_of
from orchestrator.launcher.slurm.sbatch import program, refusal, script_of
from protocol.errors import UserError
from protocol.files import write_json, write_text

_SIGNAL_SECONDS = 120  # before its time limit
_SUCCESSOR_SECONDS = 0.5 * _SIGNAL_SECONDS  # for Slurm to take the next; the rest is for leaving
_AGAIN_SECONDS = 5.0
_FILE, _SCRIPT = "orchestrator.json", "orchestrator.sh"


@dataclass(frozen=True, kw_only=True)
class Detached:
    """The job of an orchestrator, as Slurm sees it now."""

    id: str
    state: str  # Slurm's word; GONE where it knows nothing of it
    reason: str = ""
    node: str = ""

    @property
    def lives(self) -> bool:
        return self.state in (
            "PENDING",
            "CONFIGURING",
            "RUNNING",
            "COMPLETING",
            "REQUEUED",
            "SUSPENDED",
        )

    @property
    def told(self) -> str:
        where = f" on {self.node}" if self.node else ""
        why = f" ({self.reason})" if self.reason else ""
        return f"job {self.id}, {self.state}{where}{why}"


def submit_orchestrator(
    jobs: Path, name: str, launcher: LauncherSettings, arguments: list[str]
) -> str:
    """Submit a job that runs our command with these arguments; Slurm's number for it.

    Args:
        jobs: the folder of the study's jobs.
        name: of the job.
        launcher: the study's; its `orchestrator` says what to ask for.
        arguments: of the command that searches.

    Raises:
        Away: whether it was submitted is not known.
        SettingsError: Slurm refuses it.
    """
    wanted = launcher.orchestrator
    jobs.mkdir(parents=True, exist_ok=True)
    command = ["exec", "env", f"{DETACHED}=1", *program("orchestrator", *arguments)]
    text = script_of(
        jobs,
        shlex.join(command),
        {
            "job_name": name,
            "wckey": None,
            "nodes": 1,
            "cpus_per_task": wanted.cpus_per_task,
            "mem": f"{round(1024 * wanted.mem_gb)}M",
            "time": wanted.time,
            "partition": wanted.partition,
            "account": launcher.account,
            "setup": launcher.setup,
            "use_srun": False,
            "stderr_to_stdout": True,
        },
        {
            "requeue": True,  # where its node fails, or it has to make room
            "signal": f"B:USR2@{_SIGNAL_SECONDS}",
            **{key.replace("_", "-"): value for key, value in wanted.options.items()},
        },
    )
    write_text(jobs / _SCRIPT, text)
    return _submit(jobs)


def submit_successor(jobs: Path) -> str:
    """Submit this job's script once more, for when this one has ended; Slurm's number for it.

    Where Slurm does not answer it is asked again: of two successors the second finds the study in
    use, and none would leave it without an orchestrator.

    Raises:
        SettingsError: Slurm refuses it.
        UserError: it did not answer while there was time.
    """
    deadline = time.monotonic() + _SUCCESSOR_SECONDS
    while True:
        try:
            return _submit(jobs, f"--dependency=afterany:{os.environ['SLURM_JOB_ID']}")
        except Away as away:
            if time.monotonic() > deadline:
                raise UserError(
                    f"Slurm does not answer, so that no job goes on in this one's stead ({away}); "
                    "type the same command again"
                ) from None
        time.sleep(_AGAIN_SECONDS)


def is_detached() -> bool:
    """Whether this process is an orchestrator in a job of its own."""
    return DETACHED in os.environ and "SLURM_JOB_ID" in os.environ


def detached(jobs: Path) -> Detached | None:
    """The job that was last submitted for a study's orchestrator, if one was.

    Raises:
        Away: Slurm does not answer.
    """
    try:
        number = str(json.loads((jobs / _FILE).read_text())["id"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    try:
        shown = ask("scontrol", "--oneliner", "show", "job", number)
    except Refused:
        return Detached(id=number, state="GONE")
    fields = fields_of(shown)
    return Detached(
        id=number,
        state=fields.get("JobState", "UNKNOWN"),
        reason=fields.get("Reason", ""),
        node=fields.get("NodeList", ""),
    )


def _submit(jobs: Path, *options: str) -> str:
    try:
        told = ask("sbatch", "--parsable", *options, str(jobs / _SCRIPT))
    except Refused as refused:
        raise refusal(refused, "launcher.orchestrator") from None
    number = number_of(told)
    write_json(jobs / _FILE, {"id": number})
    return number
