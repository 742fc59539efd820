"""One question to Slurm by one of its commands, in a shell's stead."""

from __future__ import annotations

import os
import re
import subprocess

from orchestrator.launcher.settings import DETACHED
from protocol.errors import UserError

ANSWER_SECONDS = 60.0  # for one answer
# What Slurm's commands say where they cannot reach the controller, or it has too much to do.
_AWAY = (
    "unable to contact slurm controller",
    "connection refused",
    "connection timed out",
    "socket timed out",
    "temporarily unable",
    "zero bytes were transmitted",
    "connection reset",
    "protocol authentication error",
    "resource temporarily unavailable",
    "standby mode",
    "no route to host",
    "network is unreachable",
    "communication connection failure",
    "message receive failure",
)


class Away(Exception):
    """The controller does not answer: whatever was asked may have happened or not."""


class Refused(UserError):
    """Slurm has said no, in its own words."""


def _environment() -> dict[str, str]:
    """This process's, without what Slurm tells its own job: the next one would inherit that."""
    told = ("SLURM_", "SLURMD_", "SRUN_", "PMI_", DETACHED)
    return {
        name: value
        for name, value in os.environ.items()
        if name == "SLURM_CONF" or not name.startswith(told)
    }


def ask(*command: str) -> str:
    """What one of Slurm's commands prints.

    Raises:
        Away: it cannot say.
        Refused: it says no.
    """
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=ANSWER_SECONDS,
            env=_environment(),
        )
    except subprocess.TimeoutExpired:
        raise Away(f"{command[0]} did not answer within {ANSWER_SECONDS:g} s") from None
    except FileNotFoundError:
        raise Refused(
            f"there is no {command[0]} here: launcher.kind: slurm is for machines of a cluster"
        ) from None
    except OSError as error:  # no room for one process more, for the moment
        raise Away(f"{command[0]} cannot be started: {error}") from None
    if done.returncode == 0:
        return done.stdout
    said = " ".join((done.stderr.strip() or done.stdout.strip()).split())
    if any(word in said.lower() for word in _AWAY):
        raise Away(said)
    raise Refused(said or f"{command[0]} left with code {done.returncode}")


def fields_of(shown: str) -> dict[str, str]:
    """A job by Slurm's own keys, from `scontrol --oneliner show job`; what it lacks is empty."""
    pairs = (word.split("=", 1) for word in shown.split() if "=" in word)
    return {key: "" if value in ("(null)", "None") else value for key, value in pairs}


def number_of(told: str) -> str:
    """The job's number in what `sbatch --parsable` prints; sites may have it print more.

    Raises:
        Away: there is none, so that whether there is such a job is not known.
    """
    found = re.findall(r"^(\d+)(?:;\S*)?$", told, re.MULTILINE)  # ;CLUSTER, where there are several
    if not found:
        raise Away(f"sbatch named no job: {' '.join(told.split()) or 'it printed nothing'}")
    return str(found[-1])
