import pytest
import torch

from worker.pipeline.handover import Shelf


def test_a_kept_tensors_gradient_comes_back_through_the_carry():
    weight = torch.tensor([2.0, 3.0], requires_grad=True)
    shelf = Shelf()
    first = shelf.hand(0)
    kept = weight * 5
    first.put("skip", kept)
    carry = first.joined((weight**2, torch.arange(2)))

    second = shelf.hand(0)
    arrived = carry[0].detach().requires_grad_()
    (arrived * second.take("skip")).sum().backward()
    assert weight.grad is None, "the halves are separate graphs"
    torch.autograd.backward([carry[0]], [arrived.grad])

    whole = weight.detach().requires_grad_()
    (whole**2 * (whole * 5)).sum().backward()
    assert torch.equal(weight.grad, whole.grad)


def test_micro_batches_under_way_do_not_mix():
    shelf = Shelf()
    for number in (0, 1):
        shelf.hand(number).put("skip", torch.tensor(float(number)))
    assert [shelf.hand(number).take("skip").item() for number in (1, 0)] == [1.0, 0.0]


def test_a_pass_that_keeps_nothing_hands_on_its_carry_as_it_is():
    carry = (torch.ones(1, requires_grad=True),)
    assert Shelf().hand(0).joined(carry) is carry


def test_a_tensor_without_gradient_is_kept_without_one():
    hand = Shelf().hand(0)
    hand.put("mask", torch.ones(2))
    carry = (torch.ones(1, requires_grad=True) * 2,)
    assert hand.joined(carry) is carry
    assert not hand.take("mask").requires_grad


def test_a_name_is_kept_once_and_taken_once():
    hand = Shelf().hand(0)
    hand.put("skip", torch.ones(1))
    with pytest.raises(ValueError, match=r"kept 'skip' twice in one pass; expected once"):
        hand.put("skip", torch.ones(1))
    hand.take("skip")
    with pytest.raises(ValueError, match=r"takes 'skip', but its partner kept \[\]"):
        hand.take("skip")
