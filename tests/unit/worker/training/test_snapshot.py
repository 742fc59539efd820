from collections import OrderedDict

import torch
from torch import nn

from worker.training.checkpoint import digest
from worker.training.snapshot import Snapshot


def test_a_copy_does_not_follow_what_it_was_made_of():
    content = {
        "weights": torch.arange(6.0).reshape(2, 3),
        "lists": [1, (2, torch.ones(2))],
        "progress": {"step": 3, "metrics": {"psnr": 1.0}},
    }
    expected = digest(content)
    copy, wait = Snapshot().take(content)
    wait()
    content["weights"].zero_()
    content["lists"][1][1].zero_()
    content["progress"]["metrics"]["psnr"] = 2.0
    assert digest(copy) == expected != digest(content)


def test_the_memory_of_one_copy_is_that_of_the_next():
    snapshot, content = Snapshot(), {"a": torch.ones(5), "b": torch.ones(5), "c": torch.ones(3)}
    places = []
    for _ in range(3):
        copy = snapshot.take(content)[0]
        places.append([tensor.data_ptr() for tensor in copy.values()])
    assert places[0] == places[1] == places[2]
    assert len(set(places[0])) == 3


def test_layouts_shared_tensors_and_modules_versions_are_kept():
    model = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    state = model.state_dict()
    copy = Snapshot().take({"model": state, "again": state["weight"]})[0]
    assert copy["model"]["weight"].stride() == state["weight"].stride() != (27, 9, 3, 1)
    assert copy["again"] is copy["model"]["weight"]
    assert isinstance(copy["model"], OrderedDict)
    assert copy["model"]._metadata == state._metadata
