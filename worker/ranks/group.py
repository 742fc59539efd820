"""One attempt's ranks: how they meet, and what they tell each other.

A trial with R copies of its model, each cut into S stages, has R·S ranks: rank r·S + s holds
stage s of copy r. With a single rank there is no process group, and everything here is local.
"""

from __future__ import annotations

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from worker.machine.networks import INTERFACES, NoMeeting
from worker.ranks.meeting import meet

T = TypeVar("T")

# How gloo begins what it says of a connection, as a plain RuntimeError. Its complaints of this
# machine begin otherwise, though they may name the same source files.
_OF_A_CONNECTION = re.compile(
    r"\[[^\s\]]*gloo/transport/[^\s\]]*:\d+\] |Application timeout caused pair closure"
)


class PeerLost(Exception):
    """Another rank went away or stood still: this rank is a bystander, not the cause."""


class Group:
    """This process's place among the ranks of its attempt, or among some of them.

    Attributes:
        replicas: the ranks that hold the same stage as this one; all ranks if nothing is cut.
        chain: the ranks that hold the same copy of the model as this one, by stage.
    """

    def __init__(
        self,
        *,
        rank: int,
        ranks: int,
        device: torch.device,
        members: dist.ProcessGroup | None = None,
    ) -> None:
        self.rank = rank
        self.ranks = ranks
        self.device = device
        self.members = members  # None for all ranks of the attempt
        self.replicas = self
        self.chain = self if ranks == 1 else Group(rank=0, ranks=1, device=device)

    @property
    def first(self) -> bool:
        """Whether this is the rank that writes checkpoints and tells events."""
        return self.rank == 0

    @property
    def leads(self) -> bool:
        """Whether this rank holds the first and the last layers: it reads data and sees losses."""
        return self.chain.rank == 0

    def gather(self, value: T) -> list[T]:
        """Every rank's picklable `value`, by rank, on every rank."""
        if self.ranks == 1:
            return [value]
        gathered: list[T | None] = [None] * self.ranks
        dist.all_gather_object(gathered, value, group=self.members)
        return cast(list[T], gathered)

    def from_first(self, value: T) -> T:
        """Rank 0's picklable `value`, on every rank."""
        if self.ranks == 1:
            return value
        box: list[T] = [value]
        dist.broadcast_object_list(box, group_src=0, group=self.members, device=self.message_device)
        return box[0]

    def sum(self, values: Tensor) -> Tensor:
        """The ranks' `values` added up in rank order, so that all get the very same bits."""
        if self.ranks == 1:
            return values
        gathered = [torch.empty_like(values) for _ in range(self.ranks)]
        dist.all_gather(gathered, values, group=self.members)
        return torch.stack(gathered).sum(dim=0)

    def any(self, flag: bool) -> bool:
        """Whether `flag` is true on one rank at least."""
        if self.ranks == 1:
            return flag
        count = torch.tensor(float(flag), device=self.device)
        dist.all_reduce(count, group=self.members)
        return count.item() > 0

    def share_buffers(self, model: nn.Module) -> None:
        """Give every rank rank 0's persistent buffers, such as running means."""
        if self.ranks == 1:
            return
        kept = model.state_dict(keep_vars=True)
        for name, buffer in model.named_buffers():
            if name in kept:
                dist.broadcast(buffer, group_src=0, group=self.members)

    def leave(self) -> None:
        """Part in good order; not after an error, where it could wait for a dead peer."""
        if self.ranks > 1:
            dist.destroy_process_group()

    @property
    def message_device(self) -> torch.device:
        """Where words have to lie to be sent."""
        return self.device if dist.get_backend() == "nccl" else torch.device("cpu")


class JoinError(Exception):
    """The ranks could not meet, which is the machine's fault rather than the trial's."""


def join(
    *,
    devices: list[str],
    rank: int,
    rendezvous: Path,
    patience: float,
    stages: int = 1,
    nodes: int | None = None,
    interface: str | None = None,
) -> Group:
    """Meet the other ranks through the file `rendezvous`.

    Args:
        devices: one a rank, such as "cpu" or "cuda:0".
        rank: of this process.
        rendezvous: a file that is not there yet.
        patience: seconds after which a silent peer counts as lost.
        stages: ranks that share one copy of the model.
        nodes: of a cluster, over which the ranks are spread; None: no cluster.
        interface: of each node, through which they meet; None: found out.

    Raises:
        PeerLost: another rank went meanwhile.
        JoinError: there is no way to, such as no network interface.
    """
    chosen = [f"{name}={os.environ[name]}" for name in INTERFACES if name in os.environ]
    try:
        device = torch.device(devices[rank])
        if device.type == "cuda":
            torch.cuda.set_device(device)
        if len(devices) > 1:
            share = len(devices) // (nodes or 1)
            if nodes is None:
                _prefer_loopback()
                way: dict[str, Any] = {"init_method": f"file://{rendezvous.absolute()}"}
            else:
                node = rank // share
                way = {
                    "store": meet(
                        rendezvous,
                        rank=rank,
                        node=node,
                        nodes=nodes,
                        interface=interface,
                        patience=patience,
                    )
                }
            _connect(devices, rank, share, timedelta(seconds=patience), way)
        group = Group(rank=rank, ranks=len(devices), device=device)
        if stages > 1:
            _form_mesh(group, stages, timedelta(seconds=patience))
        return group
    except NoMeeting as error:
        raise JoinError(str(error)) from error
    except (torch.AcceleratorError, torch.OutOfMemoryError):
        raise  # of one GPU
    except (RuntimeError, ValueError, OSError) as error:
        if (lost := peer_loss(error)) is not None:
            raise lost from error
        told = " ".join(str(error).split())
        raise JoinError("; ".join([f"the ranks cannot meet: {told}", *chosen])) from error


def _connect(
    devices: list[str], rank: int, share: int, patience: timedelta, way: dict[str, Any]
) -> None:
    dist.init_process_group(
        backend=_backend(devices, share),
        rank=rank,
        world_size=len(devices),
        timeout=patience,
        **way,
    )
    # NCCL connects, and finds what it lacks, at the first exchange only.
    dist.all_reduce(torch.zeros(1, device=devices[rank]))


def _form_mesh(group: Group, stages: int, patience: timedelta) -> None:
    """Let the rank find its row and its column; all ranks make all subgroups, in one order."""
    replicas = group.ranks // stages
    replica, stage = divmod(group.rank, stages)
    mesh = torch.arange(group.ranks).reshape(replicas, stages)
    rows = [_subgroup(row, patience) if replicas > 1 else None for row in mesh.tolist()]
    columns = [_subgroup(column, patience) if replicas > 1 else None for column in mesh.T.tolist()]
    group.chain = Group(rank=stage, ranks=stages, device=group.device, members=rows[replica])
    group.replicas = Group(
        rank=replica, ranks=replicas, device=group.device, members=columns[stage]
    )


def _subgroup(ranks: list[int], patience: timedelta) -> dist.ProcessGroup | None:
    made = dist.new_group(ranks, timeout=patience)
    return made if isinstance(made, dist.ProcessGroup) else None  # where this rank is not in it


def peer_loss(error: BaseException) -> PeerLost | None:
    """`error` as the loss of a peer, where it is the communication layer's complaint of one."""
    if isinstance(error, PeerLost):
        return error
    of_gloo = isinstance(error, RuntimeError) and _OF_A_CONNECTION.match(str(error))
    if isinstance(error, dist.DistError) or of_gloo:
        return PeerLost(f"another rank was lost: {error}")
    return None


def _backend(devices: list[str], share: int) -> str:
    """NCCL refuses two ranks on one GPU; gloo moves their tensors through the host.

    Args:
        devices: by rank.
        share: ranks of one node.
    """
    on_gpus = all(device.startswith("cuda") for device in devices)
    nodes = [devices[first : first + share] for first in range(0, len(devices), share)]
    alone = all(len(set(of_node)) == len(of_node) for of_node in nodes)
    return "nccl" if on_gpus and alone else "gloo"


def _prefer_loopback() -> None:
    """All ranks are on this machine, whose own name need not lead to an interface."""
    if Path("/sys/class/net/lo").exists():
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
