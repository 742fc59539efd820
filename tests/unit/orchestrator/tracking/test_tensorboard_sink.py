import pytest

from orchestrator.tracking.trackers import start_tensorboard
from protocol.messages import Ending, Started, append_event
from tests.made_study import MadeStudy
from tests.unit.orchestrator.tracking.test_tracker import survivors, wait_for

tensorboard = pytest.importorskip("tensorboard", reason="the extra tomostudy[tensorboard]")
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: E402
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData  # noqa: E402


@pytest.fixture
def made(tmp_path):
    return MadeStudy(tmp_path)


def tracked(made, until):
    """Start, wait until so much is told, close; as an orchestrator that ends."""
    tracker = start_tensorboard(made.folder)
    pid = tracker._process.pid
    wait_for(until)
    tracker.close()
    wait_for(lambda: survivors(pid) == [])


def run_of(made, trial):
    """What TensorBoard reads of a trial."""
    read = EventAccumulator(str(made.folder.path / "tensorboard" / f"trial_{trial}"))
    return read.Reload()


def told(made, trial, tag):
    if not (made.folder.path / "tensorboard" / f"trial_{trial}").exists():
        return []
    read = run_of(made, trial)
    tags = read.Tags()["scalars"]
    return [(one.step, one.value) for one in read.Scalars(tag)] if tag in tags else []


def hparams(made, trial):
    content = run_of(made, trial).SummaryMetadata("_hparams_/session_start_info")
    return HParamsPluginData.FromString(content.plugin_data.content).session_start_info.hparams


def test_each_trial_is_a_run_with_its_point_metrics_pictures_and_end(made):
    trial = made.begin(epochs=3)
    made.draw(0, "validation_0000")
    made.tell(trial, made.settle(trial, 26.0))
    made.add(None, ending=Ending.FAILED, reason="wrong", epochs=1)
    tracked(made, lambda: told(made, 0, "best/psnr") and told(made, 1, "validation/psnr"))
    assert told(made, 0, "validation/psnr") == [(5, 21.0), (10, 22.0), (15, 23.0)]
    assert told(made, 0, "best/psnr") == [(15, 26.0)]
    params = made.study.trials[0].params
    found = hparams(made, 0)
    assert found["learning_rate"].number_value == params["learning_rate"]
    assert set(found) == set(params)
    (picture,) = run_of(made, 0).Images("pictures/validation_0000")
    drawn = made.trial(0).pictures / "validation_0000.png"
    assert picture.encoded_image_string == drawn.read_bytes()


def test_what_a_resumed_trial_tells_again_stands_once(made):
    made.begin(epochs=2)  # steps 5 and 10
    tracked(made, lambda: len(told(made, 0, "validation/psnr")) == 2)
    size = {"ranks": 1, "epochs": 3, "steps_per_epoch": 5, "parameters": 1}
    append_event(made.trial(0).events, Started(attempt=1, resumed_step=5, **size))
    made.validate(0, 2)
    made.validate(0, 3)
    tracked(made, lambda: told(made, 0, "validation/psnr")[-1:] == [(15, 23.0)])
    assert told(made, 0, "validation/psnr") == [(5, 21.0), (10, 22.0), (15, 23.0)]
