import collections
import pickle
import zipfile

import pytest
import torch

from models.weights_file import read_tensors
from protocol.errors import SettingsError


class Hyperparameters(dict):
    """As frameworks of training keep them in a checkpoint."""


class Harmful:
    """Writes a file where it is unpickled by whoever imports what it names."""

    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return (open, (str(self.place), "w"))


class Chained:
    def __reduce__(self):
        return (Hyperparameters, (), {"any": "state"}, iter([1]), iter([("a", 2)]))


def read(path):
    return read_tensors(path, key="recipe.encoder_weights_file", without="for random ones")


@pytest.fixture
def weights():
    return {"conv1.weight": torch.randn(2, 1, 3, 3), "bn1.bias": torch.nn.Parameter(torch.ones(2))}


def test_weights_are_read_beside_objects_of_the_program_that_wrote_them(tmp_path, weights):
    path = tmp_path / "epoch.ckpt"
    content = {
        "state_dict": collections.OrderedDict(weights),
        "hyper_parameters": Hyperparameters(cfg=Hyperparameters(lr=1e-4)),
        "callbacks": {Hyperparameters: [Chained()]},
    }
    torch.save(content, path)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)
    found = read(path)
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[name], weights[name]) for name in weights)


def test_nothing_that_such_a_file_names_is_called(tmp_path, weights):
    path, place = tmp_path / "epoch.ckpt", tmp_path / "written"
    torch.save({"state_dict": weights, "callbacks": Harmful(place)}, path)
    assert read(path).keys() == weights.keys()
    assert not place.exists()


def test_a_pickle_that_is_no_archive_of_tensors_is_refused_unread(tmp_path, weights):
    path, place = tmp_path / "old.pth", tmp_path / "written"
    old = {"state_dict": weights, "callbacks": Harmful(place)}
    torch.save(old, path, _use_new_zipfile_serialization=False)
    with pytest.raises(SettingsError, match=r"old.pth cannot be read"):
        read(path)
    script = tmp_path / "script.pt"
    with zipfile.ZipFile(script, "w") as archive:
        for name in ("x/data.pkl", "x/constants.pkl"):
            archive.writestr(name, pickle.dumps(Harmful(place)))
    with pytest.raises(SettingsError, match=r"script.pt cannot be read"):
        read(script)
    assert not place.exists()


def test_weights_that_only_other_objects_could_make_are_refused_in_a_sentence(tmp_path):
    path = tmp_path / "other.pth"
    torch.save({"a": torch.randn(2).to_sparse(), "b": Hyperparameters()}, path)
    with pytest.raises(SettingsError, match=r"other.pth (cannot be read|holds no named tensors)"):
        read(path)
