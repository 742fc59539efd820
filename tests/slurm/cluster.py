"""A real Slurm of a few nodes, all of them on this machine, in one folder."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import psutil

KEEPER = Path(__file__).parents[1] / "keeper.py"
INSTALL = "apt-get install --yes --no-install-recommends slurm-wlm munge"
_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol")
_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"  # where the daemons lie

# Every timer is as short as Slurm lets it be, so that a test sees in seconds what takes minutes on
# a cluster. Time limits are looked at every 30 s whatever is set here (PERIODIC_TIMEOUT of its
# sources). A node claims more CPUs than the machine has, which config_overrides lets it.
_CONFIGURATION = """\
ClusterName=tomostudy
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munged/socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/slurmctld
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=UsePss,OverMemoryKill
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
DefMemPerCPU=100
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
SchedulerTimeSlice=5
ReturnToService=2
InactiveLimit=30
KillWait=5
MinJobAge={kept}
SlurmctldTimeout=5
SlurmdTimeout=5
CompleteWait=0
{more}
{nodes}
PartitionName=low Nodes=ALL Default=YES PriorityTier=1 MaxTime=60 State=UP GraceTime={grace}
PartitionName=high Nodes=ALL PriorityTier=10 MaxTime=60 State=UP
"""


def missing() -> str:
    """Why no cluster can be started here, in one sentence; empty where it can."""
    absent = [name for name in _PROGRAMS if shutil.which(name, path=_PATH) is None]
    if absent:
        return f"no {absent[0]} on this machine: as root, {INSTALL}"
    if os.geteuid() != 0:
        return "Slurm's daemons start jobs as other users: only root can start them"
    return ""


@dataclass
class Cluster:
    """One munged, one slurmctld, and a slurmd for each of the nodes n1, n2, …

    Partition `low` is the default one, `high` preempts it: a job of `low` is requeued, once SIGTERM
    and `grace_seconds` have passed. There is no accounting. `more` are further lines of slurm.conf.
    """

    folder: Path
    nodes: int = 2
    cpus: int = 4  # of each node
    memory_mb: int = 4000  # of each node
    grace_seconds: int = 0  # of preemption; Slurm may then end the job as TIMEOUT, not requeue it
    kept_seconds: int = 300  # for which Slurm remembers a job that has ended (MinJobAge)
    more: str = ""
    _daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def env(self) -> dict[str, str]:
        """The environment of everything that talks to this cluster."""
        return os.environ | {"SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": _PATH}

    @property
    def names(self) -> list[str]:
        return [f"n{number}" for number in range(1, self.nodes + 1)]

    # ------------------------------------------------------------------ whole

    def start(self) -> None:
        """Returns when every node takes jobs."""
        for name in ("slurmctld", "munged", *self.names):
            (self.folder / name).mkdir(parents=True)
        key = self.folder / "munged" / "key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        (self.folder / "slurm.conf").write_text(self._configuration())
        munged = ["munged", "--foreground", "--force", f"--key-file={key}"]
        places = ("socket", "pid-file", "seed-file")
        munged += [f"--{option}={key.with_name(option)}" for option in places]
        self._start("munged", "SIGTERM", *munged)
        wait_until(key.with_name("socket").exists, 10, "socket of munged")
        self.start_controller()
        for name in self.names:
            self.node_up(name, wait=False)
        self.wait_for_nodes()

    def stop(self) -> None:
        """Ends every daemon and every process of every job, at once."""
        for name in [*self.names, "slurmctld", "munged"]:
            self._end(name)

    def restore(self) -> None:
        """After whatever was done to it: no jobs, every daemon running, every node taking jobs."""
        if "slurmctld" not in self._daemons:
            self.start_controller()
        for name in set(self.names) - self._daemons.keys():
            self.node_up(name, wait=False)
        self.run("scancel", "--full", "--signal=KILL", "--user=root")
        self.run("scancel", "--user=root")
        for name, state in self.node_states().items():
            if state in {"down", "drained", "draining"}:
                self.set_node(name, "resume")
        self.wait_for_nodes()
        wait_until(lambda: not self.squeue(), 60, "end of every job")

    def _configuration(self) -> str:
        host = socket.gethostname().partition(".")[0]
        port, *ports = free_ports(1 + self.nodes)
        nodes = "\n".join(
            f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port}"
            f" CPUs={self.cpus} RealMemory={self.memory_mb} State=UNKNOWN"
            for name, port in zip(self.names, ports, strict=True)
        )
        return _CONFIGURATION.format(
            host=host,
            port=port,
            folder=self.folder,
            kept=self.kept_seconds,
            grace=self.grace_seconds,
            more=self.more,
            nodes=nodes,
        )

    # ------------------------------------------------------------------ parts

    def start_controller(self) -> None:
        """Returns when slurmctld answers."""
        self._start("slurmctld", "SIGTERM", "slurmctld", "-D")
        wait_until(lambda: self.asked("scontrol", "ping").returncode == 0, 20, "slurmctld")

    def kill_controller(self, outright: bool = False) -> None:
        """Jobs go on; every command of Slurm waits for ten seconds, then fails.

        Outright is SIGKILL, after which a new one knows nothing of the last five seconds or so: of
        jobs as young nothing at all, of running ones that they wait. Else it writes that down.
        """
        if outright:
            psutil.Process(self._daemons["slurmctld"].pid).children()[0].kill()
        self._end("slurmctld")

    def node_up(self, name: str, wait: bool = True) -> None:
        """Start the node's slurmd; with `wait`, until the node takes jobs."""
        self._start(name, "SIGKILL", "slurmd", "-D", "-N", name)
        if wait:
            self.wait_for_nodes(name)

    def node_down(self, name: str) -> None:
        """As a power cut: the node's slurmd and every process of its jobs are gone at once.

        Slurm sees it within about ten seconds (SlurmdTimeout); `set_node` has it know at once.
        """
        self._end(name)

    def set_node(self, name: str, state: str, reason: str = "test") -> None:
        """What an administrator does, say with `state` "down", "drain" or "resume"."""
        self.run("scontrol", "update", f"nodename={name}", f"state={state}", f"reason={reason}")

    def wait_for_nodes(self, *names: str, seconds: float = 60) -> None:
        """Until each of these nodes (all of them by default) takes jobs."""
        asked = set(names or self.names)
        free = {"idle", "mixed", "allocated"}
        wait_until(
            lambda: {n for n, state in self.node_states().items() if state in free} >= asked,
            seconds,
            f"node among {sorted(asked)} that takes jobs",
        )

    # ------------------------------------------------------------------ jobs

    def run(self, *command: str, timeout: float = 60) -> str:
        """What the command prints. Raises: AssertionError with its words, where it fails."""
        done = self.asked(*command, timeout=timeout)
        assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def submit(self, script: str, *options: str) -> str:
        """Its number. `script` is the body of an sbatch script, `output` reads what it prints."""
        wrapped = f"#!/bin/bash\n{script}\n"
        output = f"--output={self.folder}/job-%j.out"
        command = ["sbatch", "--parsable", output, "--open-mode=append", *options]
        done = self.asked(*command, input=wrapped)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def output(self, job: str) -> str:
        """What a job of `submit` has printed so far."""
        file = self.folder / f"job-{job}.out"
        return file.read_text() if file.exists() else ""

    def squeue(self, *options: str) -> dict[str, str]:
        """The state of each job that squeue shows: pending, running and completing ones."""
        lines = self.run("squeue", "--noheader", "--format=%i %T", *options).splitlines()
        return dict(line.split() for line in lines)

    def job(self, job: str) -> dict[str, str]:
        """What `scontrol show job` says, by key: JobState, Reason, Restarts, NodeList, …"""
        fields = self.run("scontrol", "--oneliner", "show", "job", job).split()
        return dict(field.partition("=")[::2] for field in fields)

    def state(self, job: str) -> str:
        """One word, as PENDING, RUNNING, COMPLETED, TIMEOUT, NODE_FAIL."""
        return self.job(job)["JobState"]

    def wait_for_state(self, job: str, *states: str, seconds: float = 60) -> None:
        wait_until(
            lambda: self.state(job) in states, seconds, f"{' or '.join(states)} of job {job}"
        )

    def end_in(self, job: str, seconds: int) -> None:
        """Have a running job's time limit end so soon, which sbatch takes in minutes alone."""
        self.run("scontrol", "update", f"jobid={job}", f"endtime=now+{seconds}")

    def node_states(self) -> dict[str, str]:
        """By name, in sinfo's words: idle, allocated, mixed, down, draining, …"""
        lines = self.run("sinfo", "--noheader", "--Node", "--format=%N %T").splitlines()
        return {name: state.rstrip("*~#!%$@^-") for name, state in map(str.split, lines)}

    # ------------------------------------------------------------------ processes

    def _start(self, name: str, how: str, *command: str) -> None:
        assert name not in self._daemons, f"{name} runs already"
        with (self.folder / f"{name}.out").open("ab") as output:
            self._daemons[name] = subprocess.Popen(
                [sys.executable, str(KEEPER), how, str(self.folder / name), *command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self.env,
                start_new_session=True,  # ^C ends the tests, whose end ends this
            )

    def _end(self, name: str) -> None:
        keeper = self._daemons.pop(name, None)
        if keeper is not None:
            keeper.communicate(timeout=30)

    def asked(
        self, *command: str, timeout: float = 60, input: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, env=self.env, capture_output=True, text=True, timeout=timeout, input=input
        )


def running(folder: Path, **settings: object) -> Iterator[Cluster]:
    """A cluster that is up, for a fixture to yield from; ended whatever comes."""
    cluster = Cluster(folder, **settings)  # type: ignore[arg-type]
    with ExitStack() as ending:
        ending.callback(cluster.stop)
        cluster.start()
        yield cluster


def free_ports(count: int) -> list[int]:
    """TCP ports that nobody listens on now, below those that connections are given."""
    found: list[int] = []
    with ExitStack() as held:
        candidate = 20000 + os.getpid() * 37 % 12000
        while len(found) < count:
            listener = held.enter_context(socket.socket())
            candidate += 1
            try:
                listener.bind(("0.0.0.0", candidate))
            except OSError:
                continue
            found.append(candidate)
    return found


def wait_until(condition: Callable[[], object], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"no {what} within {seconds} s"
        time.sleep(0.1)
