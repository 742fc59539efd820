"""What ranks tell each other, between real processes."""

import pytest
import torch

from tests.ranks import talk_together
from worker.ranks.group import Group, join, peer_loss

UNEVEN = torch.tensor([0.1, 1e8, -1e8, 1.0], dtype=torch.float64)


def talk(rendezvous, rank, answers):
    group = join(devices=["cpu"] * 3, rank=rank, rendezvous=rendezvous, patience=20.0)
    norm = torch.nn.BatchNorm1d(2)
    norm.running_mean.fill_(float(rank + 5))
    norm.register_buffer("constant", torch.full((1,), float(rank)), persistent=False)
    group.share_buffers(norm)
    found = {
        "gather": group.gather({"rank": rank}),
        "from_first": group.from_first(f"of {rank}"),
        "sum": group.sum(UNEVEN * (rank + 1)).tolist(),
        "any": [group.any(rank == 2), group.any(False)],
        "first": group.first,
        "buffers": [norm.running_mean.tolist(), norm.constant.tolist()],
    }
    group.leave()
    answers.put((rank, found))


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    return talk_together(talk, tmp_path_factory.mktemp("group") / "rendezvous", ranks=3)


def test_gathering_gives_every_rank_all_values_by_rank(answers):
    assert all(
        found["gather"] == [{"rank": 0}, {"rank": 1}, {"rank": 2}] for found in answers.values()
    )


def test_the_first_ranks_value_reaches_all(answers):
    assert all(found["from_first"] == "of 0" for found in answers.values())
    assert [answers[rank]["first"] for rank in range(3)] == [True, False, False]


def test_sums_are_the_same_bits_on_all_ranks(answers):
    expected = torch.stack([UNEVEN * (rank + 1) for rank in range(3)]).sum(dim=0).tolist()
    assert all(found["sum"] == expected for found in answers.values())


def test_one_ranks_flag_is_known_to_all(answers):
    assert all(found["any"] == [True, False] for found in answers.values())


def test_persistent_buffers_become_the_first_ranks_and_constants_stay(answers):
    assert all(answers[rank]["buffers"] == [[5.0, 5.0], [float(rank)]] for rank in range(3))


def test_a_single_rank_talks_to_itself_without_a_process_group():
    group = Group(rank=0, ranks=1, device=torch.device("cpu"))
    assert group.gather(3) == [3]
    assert group.from_first(3) == 3
    assert group.any(True)
    assert group.sum(UNEVEN) is UNEVEN
    group.leave()


def meet_in_a_mesh(rendezvous, rank, answers):
    group = join(devices=["cpu"] * 4, rank=rank, rendezvous=rendezvous, patience=20.0, stages=2)
    found = {
        "all": group.gather(rank),
        "chain": (group.chain.rank, group.chain.gather(rank)),
        "replicas": (group.replicas.rank, group.replicas.gather(rank)),
        "leads": group.leads,
        "of_the_first_stage": group.chain.from_first(rank),
        "sum": group.replicas.sum(torch.tensor([float(rank)])).item(),
    }
    group.leave()
    answers.put((rank, found))


def test_ranks_find_their_copy_of_the_model_and_their_stage(tmp_path):
    answers = talk_together(meet_in_a_mesh, tmp_path / "rendezvous", ranks=4)
    assert all(found["all"] == [0, 1, 2, 3] for found in answers.values())
    assert [answers[rank]["chain"] for rank in range(4)] == [
        (0, [0, 1]),
        (1, [0, 1]),
        (0, [2, 3]),
        (1, [2, 3]),
    ]
    assert [answers[rank]["replicas"] for rank in range(4)] == [
        (0, [0, 2]),
        (0, [1, 3]),
        (1, [0, 2]),
        (1, [1, 3]),
    ]
    assert [answers[rank]["leads"] for rank in range(4)] == [True, False, True, False]
    assert [answers[rank]["of_the_first_stage"] for rank in range(4)] == [0, 0, 2, 2]
    assert [answers[rank]["sum"] for rank in range(4)] == [2.0, 4.0, 2.0, 4.0]


def test_only_the_communication_layers_complaints_count_as_a_lost_peer():
    complaint = RuntimeError("[gloo/transport/tcp/pair.cc:545] Connection closed by peer")
    assert "Connection closed" in str(peer_loss(complaint))
    assert peer_loss(torch.distributed.DistBackendError("NCCL timeout")) is not None
    assert peer_loss(RuntimeError("shapes do not match")) is None
    assert peer_loss(RuntimeError("Application timeout caused pair closure")) is not None
    source = "gloo/gloo/transport/tcp/device.cc:84"
    assert peer_loss(RuntimeError(f"[enforce fail at {source}] ifa != nullptr. Unable")) is None
    assert peer_loss(ValueError(f"[{source}] said the user's code")) is None
    assert peer_loss(RuntimeError(f"compiling [{source}] failed")) is None
