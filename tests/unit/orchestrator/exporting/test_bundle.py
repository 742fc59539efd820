"""MONAI's own reader of configurations takes what is written."""

import json

import pytest

from orchestrator.exporting.bundle import inference, metadata
from tests.exports import exported

SLICES = {"name": "slices", "shape": [1, 8, 6], "unit": "1", "meaning": "axial slices"}
MASK = {"name": "mask", "shape": [1, 8, 6], "unit": "1", "meaning": "the brain"}
VOLUME = {"name": "volume", "shape": [4, 5, 6], "unit": "HU", "meaning": "a CT"}


@pytest.fixture
def parser(tmp_path):
    from monai.bundle import ConfigParser  # takes six seconds of every process of a test run

    (tmp_path / "inference.json").write_text(json.dumps(inference()))
    parser = ConfigParser()
    parser.read_config(str(tmp_path / "inference.json"))
    return parser


def test_inputs_are_joined_along_the_channels(parser):
    span = {"low": 0.0, "high": 1.0}
    ports = {"inputs": [SLICES | span, MASK | span], "outputs": [SLICES | span]}
    parser["_meta_"] = metadata(exported({"kind": "brain"} | ports))
    image = parser.get("_meta_#network_data_format#inputs#image")
    assert (image["num_channels"], image["spatial_shape"]) == (2, [8, 6])
    assert image["channel_def"] == {"0": "axial slices", "1": "the brain"}
    assert image["value_range"] == [0.0, 1.0]
    assert parser.get("_meta_#network_data_format#outputs#pred#num_channels") == 1
    assert "trial 3 of study made" in parser.get("_meta_#task")
    assert parser.get("_meta_#pytorch_version")[0].isdigit()


def test_a_volume_has_one_channel(parser):
    xrays = {"name": "xrays", "shape": [2, 8, 8], "unit": "1", "meaning": "views"}
    span = {"low": None, "high": None}
    ports = {"inputs": [xrays | span], "outputs": [VOLUME | span]}
    parser["_meta_"] = metadata(exported({"kind": "xrays"} | ports))
    image = parser.get("_meta_#network_data_format#inputs#image")
    assert (image["num_channels"], image["spatial_shape"]) == (2, [8, 8])
    made = parser.get("_meta_#network_data_format#outputs#pred")
    assert (made["num_channels"], made["spatial_shape"]) == (1, [4, 5, 6])
    assert made["value_range"] == []
