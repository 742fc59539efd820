"""What goes between two stages, over real processes."""

import pytest
import torch

from tests.ranks import talk_together
from worker.pipeline.exchange import receive, send
from worker.ranks.group import join

CONTENT = {
    3: {"step": torch.tensor(2.0), "moments": [torch.arange(6.0).reshape(2, 3).T, None]},
    "flags": (torch.tensor([True, False]), torch.ones(2, dtype=torch.bfloat16), "word", 0.5),
    "empty": torch.empty(0, 4),
}


def talk(rendezvous, rank, answers):
    group = join(devices=["cpu"] * 2, rank=rank, rendezvous=rendezvous, patience=20.0, stages=2)
    if rank == 0:
        send(group.chain, CONTENT, 1)
        answers.put((rank, receive(group.chain, 1)))
    else:
        found = receive(group.chain, 0, torch.device("cpu"))
        send(group.chain, None, 0)
        answers.put((rank, found))
    group.leave()


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    return talk_together(talk, tmp_path_factory.mktemp("exchange") / "rendezvous", ranks=2)


def test_nested_tensors_and_words_arrive_as_they_were_sent(answers):
    found = answers[1]
    assert found.keys() == CONTENT.keys()
    assert torch.equal(found[3]["step"], CONTENT[3]["step"])
    assert torch.equal(found[3]["moments"][0], CONTENT[3]["moments"][0])
    assert found[3]["moments"][1] is None
    flags, ones, *words = found["flags"]
    assert torch.equal(flags, CONTENT["flags"][0])
    assert (ones.dtype, ones.tolist()) == (torch.bfloat16, [1.0, 1.0])
    assert words == ["word", 0.5]
    assert found["empty"].shape == (0, 4)


def test_nothing_can_be_sent_too(answers):
    assert answers[0] is None
