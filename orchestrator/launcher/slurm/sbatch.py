"""Jobs as submitit submits them, by the names that sbatch gives its options."""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path
from typing import Any

from submitit.slurm.slurm import SlurmExecutor

from orchestrator.launcher.environment import ROOT
from orchestrator.launcher.settings import LauncherSettings
from orchestrator.launcher.slurm.ask import Refused, ask, number_of
from protocol.errors import SettingsError

UNSEEN = 77  # the exit code of a job whose node does not see the study's folder
# What sbatch says of an option, in its own words, and whose key that is.
_KEYS = (
    (r"partition", "partition"),
    (r"\baccount|\bassociation", "account"),
    (r"\bqos\b|quality of service", "qos"),
    (r"reservation", "reservation"),
    (r"feature|constraint", "constraint"),
    (r"gres|gpu|\btres\b", "gpus_per_node"),
    (r"memory", "mem_gb"),
    (r"time limit|timelimit", "time"),
    (r"node name|nodelist|node list", "nodelist"),
    (r"cpu", "cpus_per_task"),
    (r"node count|node configuration", "nodes"),
)


def submit(
    folder: Path,
    command: list[str],
    *,
    name: str,
    launcher: LauncherSettings,
    processes: int,
    exclude: frozenset[str] = frozenset(),
) -> str:
    """Submit a job that runs `command` once on each of its nodes; Slurm's number for it.

    Args:
        folder: for the job's script and what it prints; nodes have to see it.
        command: a program and its arguments.
        name: of the job.
        launcher: what to ask for.
        processes: of a trial on one node, where the settings do not say how many CPUs it gets.
        exclude: nodes that failed a moment ago, beside those of the settings.

    Raises:
        Away: whether there is such a job now is not known.
        SettingsError: Slurm refuses it, in its own words and with the key at fault.
    """
    cpus = launcher.cpus_per_task or processes
    excluded = ",".join([*([launcher.exclude] if launcher.exclude else []), *sorted(exclude)])
    options: dict[str, Any] = {
        "no-requeue": True,  # what was interrupted goes on in a new job, with all that it needs
        "gres": launcher.gres,
        "reservation": launcher.reservation,
        **{key.replace("_", "-"): value for key, value in launcher.options.items()},
    }
    asked: dict[str, Any] = {
        "job_name": name,
        "wckey": None,
        "nodes": launcher.nodes,
        "ntasks_per_node": 1,
        "cpus_per_task": cpus,
        "time": launcher.time,
        "mem": None if launcher.mem_gb is None else f"{round(1024 * launcher.mem_gb)}M",
        "partition": launcher.partition,
        "account": launcher.account,
        "qos": launcher.qos,
        "constraint": launcher.constraint,
        "exclude": excluded or None,
        "nodelist": launcher.nodelist,
        "gpus_per_node": launcher.gpus_per_node or None,
        "setup": [
            f"test -e {shlex.quote(str(folder / 'job.json'))} || exit {UNSEEN}",
            *launcher.setup,
        ],
        "signal_delay_s": launcher.signal_seconds,
        # srun forgets by itself how many CPUs a task of the job has.
        "srun_args": [f"--cpus-per-task={cpus}", "--kill-on-bad-exit=1", "--export=ALL"],
        "stderr_to_stdout": True,
    }
    script = folder / "job.sh"
    script.write_text(script_of(folder, shlex.join(command), asked, options))
    try:
        told = ask("sbatch", "--parsable", str(script))
    except Refused as refused:
        if exclude:  # without them there may be no node left
            return submit(folder, command, name=name, launcher=launcher, processes=processes)
        raise refusal(refused) from None
    return number_of(told)


def script_of(folder: Path, command: str, asked: dict[str, Any], options: dict[str, Any]) -> str:
    """submitit's script for a job.

    Args:
        folder: where it prints.
        command: of the shell.
        asked: by submitit's names; what is None is left to Slurm.
        options: of sbatch that submitit has no name for.

    Raises:
        SettingsError: this is no machine of a cluster.
    """
    try:
        executor = SlurmExecutor(folder=folder)
    except RuntimeError:  # it looks for srun
        raise SettingsError(
            "found slurm, but there is no srun here; expected local, or a machine of a cluster",
            key="launcher.kind",
        ) from None
    # Past its check of types: without a time or a wckey sbatch decides, not submitit's defaults.
    executor.parameters |= asked
    executor.parameters["additional_parameters"] = {
        key: value for key, value in options.items() if value is not None
    }
    return executor._make_submission_file_text(command, "job")


def refusal(refused: Refused, key: str = "") -> SettingsError:
    """What sbatch says, with the key that it most likely means."""
    said = re.sub(r"sbatch: (error: )?(Batch job submission failed: )?", "", str(refused))
    return SettingsError(f"sbatch refuses: {said}", key=key or _key(said))


def program(module: str, *arguments: str) -> list[str]:
    """The command by which a node runs one of our modules, with this interpreter."""
    paths = os.pathsep.join(part for part in (str(ROOT), os.environ.get("PYTHONPATH")) if part)
    return ["env", f"PYTHONPATH={paths}", sys.executable, "-P", "-m", module, *arguments]


def _key(said: str) -> str:
    keys = (key for pattern, key in _KEYS if re.search(pattern, said, re.IGNORECASE))
    return f"launcher.{next(keys, 'kind')}"
