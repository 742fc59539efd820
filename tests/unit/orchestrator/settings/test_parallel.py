import pytest
from pydantic import ValidationError

from orchestrator.settings.parallel import Parallel


@pytest.mark.parametrize(
    ("given", "depth", "devices", "processes"),
    [
        ({}, 1, 1, 1),
        ({"kind": "ddp", "ranks": 3}, 1, 3, 3),
        ({"kind": "model", "stages": 3}, 3, 3, 3),
        ({"kind": "model", "devices": ["cuda:0", "cuda:1"]}, 2, 2, 2),
        ({"kind": "model", "stages": 2, "devices": ["cpu", "cpu"]}, 2, 2, 2),
        ({"kind": "ddp+model", "ranks": 2, "stages": 3}, 3, 6, 6),
        ({"kind": "ddp+model", "ranks": 2, "stages": 2, "devices": ["cpu"] * 4}, 2, 4, 4),
        ({"kind": "model", "devices": ["cpu", "cuda:0"], "schedule": "device_map"}, 2, 2, 1),
    ],
)
def test_a_trial_needs_a_device_for_each_stage_of_each_rank(given, depth, devices, processes):
    parallel = Parallel.model_validate(given)
    assert (parallel.depth, parallel.trial_devices, parallel.processes) == (
        depth,
        devices,
        processes,
    )
    assert Parallel.model_validate(parallel.model_dump()) == parallel


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"kind": "ddp", "stages": 3}, "`stages` belongs to kind model and ddp\\+model"),
        ({"schedule": "gpipe"}, "`schedule` belongs to kind model"),
        ({"devices": ["cpu"]}, "`devices` belongs to kind model"),
        ({"kind": "model"}, "expected `stages` from 2, or `devices`, one a stage"),
        ({"kind": "model", "devices": ["cpu"]}, "expected `stages` from 2"),
        ({"kind": "model", "stages": 1}, "greater than or equal to 2"),
        ({"kind": "model", "stages": 2, "ranks": 2}, "found ranks: 2; write kind: ddp\\+model"),
        ({"kind": "model", "stages": 3, "devices": ["cpu"] * 2}, "found 2 devices; expected 3"),
        ({"kind": "ddp+model", "ranks": 2, "devices": ["cpu"] * 4}, "`devices` needs `stages`"),
        ({"kind": "model", "devices": ["cuda:0", "cuda:0"]}, "a GPU stands twice"),
        ({"kind": "model", "devices": ["cuda:0", "gpu"]}, "'gpu' is no device"),
        ({"kind": "model", "devices": ["cuda:0", "cpu"]}, "mix only with schedule: device_map"),
        (
            {"kind": "ddp+model", "ranks": 2, "stages": 2, "schedule": "device_map"},
            "device_map is one process; expected kind: model",
        ),
        ({"kind": "model", "stages": 2, "schedule": "zigzag"}, "'1f1b', 'gpipe' or 'device_map'"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(given, sentence):
    with pytest.raises(ValidationError, match=sentence):
        Parallel.model_validate(given)
