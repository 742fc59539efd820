import numpy as np
import pytest

from data.brain.dataset import BrainVolume, BrainVolumes
from tests.families.anomaly_toy import TINY_BRAINS, AnomalyToy, AnomalyToySettings


@pytest.fixture(scope="session")
def toy(tmp_path_factory):
    """Makes the toy family; all of them see the same tiny brains."""
    root = tmp_path_factory.mktemp("brains") / "tiny"

    def make(**settings):
        data = AnomalyToy.Data.model_validate({"root": root, **TINY_BRAINS})
        return AnomalyToy(AnomalyToySettings(**settings), data)

    BrainVolumes(make().data, "test", "lesion")
    return make


@pytest.fixture
def volume():
    """One of six slices, the first and last of them without brain."""
    generator = np.random.default_rng(3)
    mask = np.zeros((6, 16, 16), bool)
    mask[1:5, 3:13, 3:13] = True
    image = (generator.random(mask.shape) * mask).astype(np.float32)
    truth = np.zeros_like(mask)
    truth[3, 6:9, 6:9] = True
    return BrainVolume(
        name="subject",
        dataset="Set",
        image=image,
        mask=mask,
        segmentation=truth,
        voxel_size=(2.0, 2.0, 2.0),
    )
