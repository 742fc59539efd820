"""What is said of the largest configuration; that rehearsals measure is tested with real ranks."""

import json
from unittest.mock import Mock

import pytest

from orchestrator.preflight.preflight import MOST_TRIED, is_wanted, preflight
from orchestrator.preflight.rehearsal import GIB, Rehearsal, Rehearsed
from orchestrator.running.session import Session
from orchestrator.running.slots import Slot
from orchestrator.settings.space import Space
from protocol.folders import StudyFolder
from protocol.messages import Measured
from tests.searches import SmallSearch, make_settings

SEARCH = {
    "batch_size": {"choices": [2, 6]},
    "encoder": {"choices": ["small", "large"]},
    "learning_rate": {"low": 0.1, "high": 1.0},
}


class Computed(Rehearsal):
    """A rehearsal whose ranks say at once what they would have needed."""

    room: float = 8.0  # GiB of a rank
    asked: list

    def __call__(self, point, micro_batch=None):
        self.asked = [*getattr(self, "asked", []), (point, micro_batch)]
        if point.get("encoder") == "broken":
            return Rehearsed(ending="failed", reason="ValueError on rank 0: no")
        batch = micro_batch or point.get("batch_size", 4)
        needed = batch * {"small": 0.25, "large": 0.5}.get(point.get("encoder"), 0.25)
        if needed > self.room:
            return Rehearsed(ending="memory", reason="out of memory")
        device = self.session.slots[0].devices[0]
        measured = [
            Measured(
                attempt=0,
                rank=rank,
                peaks={device: int(needed * GIB)},
                available={device: int(self.room * GIB)},
                seconds=0.5,
            )
            for rank in range(len(self.session.slots[0].devices))
        ]
        return Rehearsed(ending="fits", measured=measured)


@pytest.fixture
def rehearse(tmp_path):
    def begin(search=SEARCH, room=8.0, devices=("cpu", "cpu"), trials=1, **changes):
        (tmp_path / "x").mkdir(exist_ok=True)
        settings = make_settings(search, {}, **changes)
        session = Session(StudyFolder(tmp_path / "x"), "x", None, Mock(), None, Mock())
        session.settings, session.slots = settings, [Slot(devices, 1)] * trials
        rehearsal = Computed(session, Space.of(settings.search, settings.recipe, {"batch_size": 4}))
        rehearsal.room = room
        return rehearsal

    return begin


def test_it_names_the_largest_configuration_with_its_memory_and_time(rehearse):
    rehearsal = rehearse()
    report = preflight(rehearsal)
    assert report.fits
    assert report.configuration == {"batch_size": 6, "encoder": "large", "learning_rate": 1.0}
    assert report.sentence == (
        "preflight: the largest of 3 configurations tried takes 3.00 GiB of the 8.0 GiB available "
        "on cpu and 0.5 s a step: batch_size=6 encoder=large learning_rate=1"
    )
    kept = json.loads(rehearsal.session.folder.preflight.read_text())
    assert kept == report.model_dump(mode="json")
    assert kept["ranks"] == [{"cpu": 3.0}, {"cpu": 3.0}]
    assert kept["seconds_per_step"] == 0.5


def test_where_all_ranks_of_all_trials_are_too_many_for_the_machine_it_says_so(rehearse):
    assert "at a time" not in preflight(rehearse()).sentence
    assert (
        "; with 2 trials of 2 ranks at a time that comes to 12.0 GiB, more than there is: lower "
        "parallel_trials"
    ) in preflight(rehearse(trials=2)).sentence


def test_what_does_not_fit_is_tried_in_halves_and_the_search_goes_on(rehearse):
    rehearsal = rehearse(room=2.0)
    report = preflight(rehearsal)
    assert (report.fits, report.batch_size, report.micro_batch) == (False, 6, 3)
    assert "encoder=large learning_rate=1 does not fit into memory in batches of 6" in (
        report.sentence
    )
    assert "in micro-batches of 3 it takes 1.50 GiB of the 2.0 GiB" in report.sentence
    assert report.sentence.endswith("pruned as infeasible where one sample is too much")
    assert [micro for _, micro in rehearsal.asked] == [None, None, 3]


def test_what_fits_in_no_batch_is_said_to(rehearse):
    report = preflight(rehearse(room=0.2))
    assert (report.fits, report.micro_batch, report.ranks) == (False, None, [])
    assert "does not fit into memory, not even one sample at a time; the search goes on" in (
        report.sentence
    )


def test_a_limit_of_the_settings_is_what_there_is(rehearse):
    report = preflight(rehearse(limits={"memory_gb": 4.0}, trials=9))
    assert "3.00 GiB of the 4 GiB that limits.memory_gb leaves a rank on cpu" in report.sentence
    assert report.limit == 4.0


def test_the_number_of_configurations_is_bounded_and_the_rest_is_named(rehearse):
    search = {f"key_{number:02}": {"choices": ["a", "b"]} for number in range(20)}
    rehearsal = rehearse(search)
    report = preflight(rehearsal)
    assert len(rehearsal.asked) == report.tried == MOST_TRIED
    assert report.untried == [f"key_{number:02}" for number in range(MOST_TRIED - 1, 20)]
    assert "(not every end of key_11, key_12" in report.sentence


def test_what_cannot_be_tried_is_said_with_its_reason(rehearse):
    report = preflight(rehearse({"encoder": {"choices": ["broken"]}}))
    assert report.fits is None
    assert report.sentence == (
        "preflight: encoder=broken could not be tried: ValueError on rank 0: no; the search goes on"
    )


GPU, CPU = [Slot(("cuda:0",), 4)], [Slot(("cpu",), 4)]


def test_it_is_wanted_on_gpus_once_before_the_first_trial_and_whenever_it_is_asked_for(tmp_path):
    small = SmallSearch(tmp_path, make_settings({"x": {"low": 0.0, "high": 1.0}}, {}))
    small.study.enqueue_trial({"x": 0.5})
    assert is_wanted(None, small.folder, GPU, small.study)
    assert not is_wanted(None, small.folder, CPU, small.study)
    assert is_wanted(True, small.folder, CPU, small.study)
    assert not is_wanted(False, small.folder, GPU, small.study)
    small.folder.preflight.touch()
    assert not is_wanted(None, small.folder, GPU, small.study)
    small.folder.preflight.unlink()
    small.asker.ask()
    assert not is_wanted(None, small.folder, GPU, small.study)
    assert is_wanted(True, small.folder, GPU, small.study)
