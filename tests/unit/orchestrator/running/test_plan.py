"""What of a study's settings reaches the plans of its trials."""

from orchestrator.running.plan import make_plan
from orchestrator.running.slots import Slot
from tests.searches import NUMBERS, make_settings

PARTICULARS = {"study": "s", "trial": 3, "attempt": 0, "seed": 1, "recipe": {"epochs": 2}}


def plan(parallel, devices):
    settings = make_settings(NUMBERS, {}, parallel=parallel)
    return make_plan(settings, Slot(tuple(devices), 2), **PARTICULARS)


def test_a_plan_says_how_many_processes_share_which_devices():
    one = plan({}, ["cpu"])
    assert (one.ranks, one.stages, one.mapped, one.threads) == (1, 1, False, 2)
    mesh = plan({"kind": "ddp+model", "ranks": 2, "stages": 3, "schedule": "gpipe"}, ["cpu"] * 6)
    assert (mesh.ranks, mesh.stages, mesh.schedule) == (6, 3, "gpipe")


def test_a_device_map_is_one_process_with_all_devices():
    mapped = plan({"kind": "model", "devices": ["cpu"] * 3, "schedule": "device_map"}, ["cpu"] * 3)
    assert (mapped.ranks, mapped.mapped, mapped.devices) == (1, True, ["cpu"] * 3)


def test_the_particulars_of_an_attempt_win_over_the_settings():
    settings = make_settings(NUMBERS, {})
    found = make_plan(settings, Slot(("cpu",), 1), **PARTICULARS, pictures=0)
    assert (found.pictures, found.trial, found.recipe.given) == (0, 3, {"epochs": 2})
