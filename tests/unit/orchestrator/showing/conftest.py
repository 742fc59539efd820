import copy
import shutil

import numpy as np
import pytest

from orchestrator.showing.look import look
from protocol.folders import StudyFolder
from protocol.messages import Ending
from tests.made_study import MadeStudy

TARGET = np.linspace(0, 1, 48, dtype=np.float32).reshape(6, 8)
SEARCH = {
    "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True, "when": {}},
    "window": {"choices": ["full", "[fourier]", None]},
    "harmonics": {"low": 10, "high": 100, "step": 10, "when": {"window": "[fourier]"}},
}


def shown_by(number):
    return TARGET + 0.01 * (number + 1)


@pytest.fixture(scope="session")
def example(tmp_path_factory):
    """Four complete trials of which trial 2 is the best, one pruned and one that diverged."""
    made = MadeStudy(tmp_path_factory.mktemp("example"))
    made.write_settings(search=SEARCH, sampler={"kind": "tpe", "n_startup_trials": None}, seed=3)
    for value in (24.0, 23.5, 31.25, 22.0):
        made.keep(made.add(value), shown_by(len(made.study.trials) - 1), TARGET)
    made.add(None, epochs=2, ending=Ending.PRUNED, reason="the pruner expected no improvement")
    made.add(None, epochs=1, ending=Ending.NONFINITE, reason="the loss <b> was NaN")
    return made


@pytest.fixture
def made(example, tmp_path):
    """A copy of the example, to change."""
    copied = copy.copy(example)
    copied.folder = StudyFolder(tmp_path / "runs" / "made")
    shutil.copytree(example.folder.path, copied.folder.path)
    return copied


@pytest.fixture(scope="session")
def seen(example):
    """The example as it is read."""
    return look(example.folder)
