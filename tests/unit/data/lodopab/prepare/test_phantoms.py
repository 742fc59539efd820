import hashlib
import subprocess
import sys

import pytest
from pydantic import ValidationError

from data.lodopab.dataset import LodopabDataset, LodopabSettings
from data.lodopab.patients import read_patients
from data.lodopab.prepare.phantoms import LODOPAB_PHANTOMS
from data.lodopab.prepare.settings import LodopabPhantomSettings
from protocol.errors import DataError

TINY = LodopabPhantomSettings(image_size=16, angles=8, train=10, validation=3, test=2)

BUILD = """
import pathlib, sys
from data.lodopab.prepare.phantoms import LODOPAB_PHANTOMS
from data.lodopab.prepare.settings import LodopabPhantomSettings
settings = LodopabPhantomSettings.model_validate_json(sys.argv[2])
LODOPAB_PHANTOMS.ensure(pathlib.Path(sys.argv[1]), settings)
"""


def digest(root):
    """A fingerprint of all images, and of the patients."""
    total = hashlib.sha256()
    for split in ("train", "validation", "test"):
        dataset = LodopabDataset(LodopabSettings(root=root), split)
        total.update(repr(read_patients(root, split)).encode())
        for index in range(len(dataset)):
            total.update(dataset[index]["sinogram"].tobytes() + dataset[index]["image"].tobytes())
    return total.hexdigest()


def test_the_set_has_what_was_asked_for(tmp_path):
    calls = []
    LODOPAB_PHANTOMS.make(tmp_path / "set", TINY, step=lambda *at: calls.append(at))
    assert calls == [(done, 15) for done in range(1, 16)]
    for split, count in (("train", 10), ("validation", 3), ("test", 2)):
        dataset = LodopabDataset(LodopabSettings(root=tmp_path / "set"), split)
        assert len(dataset) == count
        assert dataset[0]["sinogram"].shape == (1, 8, 25)
        assert dataset[0]["image"].shape == (1, 16, 16)


def test_patients_have_several_images_and_no_two_splits_share_one(tmp_path):
    LODOPAB_PHANTOMS.make(tmp_path / "set", TINY)
    splits = [read_patients(tmp_path / "set", split) for split in ("train", "validation", "test")]
    assert 1 < len(set(splits[0])) < len(splits[0])
    assert splits[0][0] != splits[0][1]
    assert len(set().union(*splits)) == sum(len(set(patients)) for patients in splits)


def test_the_seed_decides_every_value(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        LODOPAB_PHANTOMS.make(tmp_path / name, TINY.model_copy(update={"seed": seed}))
    assert digest(tmp_path / "a") == digest(tmp_path / "b") != digest(tmp_path / "c")


def test_sinograms_are_noisy_and_fit_their_images(tmp_path):
    LODOPAB_PHANTOMS.make(tmp_path / "set", TINY)
    dataset = LodopabDataset(LodopabSettings(root=tmp_path / "set"), "train")
    geometry = dataset.geometry
    for index in range(len(dataset)):
        sample = dataset[index]
        # Every projection of an image has the image's mass.
        mass = sample["image"].sum() * geometry.pixel_width**2
        masses = sample["sinogram"][0].sum(axis=1) * geometry.cell_width
        assert masses == pytest.approx(mass, rel=0.08)
        assert masses.std() > 0


def test_a_set_of_the_same_settings_is_used_as_it_is(tmp_path):
    LODOPAB_PHANTOMS.ensure(tmp_path / "set", TINY)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "set").iterdir()}
    LODOPAB_PHANTOMS.ensure(tmp_path / "set", TINY)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "set").iterdir()} == before


def test_a_set_of_other_settings_is_refused_by_name(tmp_path):
    LODOPAB_PHANTOMS.ensure(tmp_path / "set", TINY)
    other = TINY.model_copy(update={"seed": 4, "photons": 100.0})
    with pytest.raises(DataError, match=r"made with photons 4096.0, seed 0, .* 100.0, seed 4"):
        LODOPAB_PHANTOMS.ensure(tmp_path / "set", other)


def test_a_damaged_record_is_named(tmp_path):
    LODOPAB_PHANTOMS.ensure(tmp_path / "set", TINY)
    (tmp_path / "set" / "made_from.json").write_text('{"phan')
    with pytest.raises(DataError, match=r"made_from.json is truncated or damaged"):
        LODOPAB_PHANTOMS.ensure(tmp_path / "set", TINY)


def test_the_users_own_set_is_left_alone(lodopab):
    lodopab.split("train", 2)
    LODOPAB_PHANTOMS.ensure(lodopab.root, TINY)
    (lodopab.root / "made_from.json").write_text('{"prepared": {}}')
    LODOPAB_PHANTOMS.ensure(lodopab.root, TINY)
    assert len(list(lodopab.root.iterdir())) == 3


def test_two_processes_that_generate_at_once_both_end_well(tmp_path):
    command = [sys.executable, "-c", BUILD, str(tmp_path / "set"), TINY.model_dump_json()]
    children = [subprocess.Popen(command) for _ in range(2)]
    assert [child.wait(60) for child in children] == [0, 0]
    assert sorted(path.name for path in tmp_path.iterdir()) == [".set.lock", "set"]
    LODOPAB_PHANTOMS.make(tmp_path / "alone", TINY)
    assert digest(tmp_path / "set") == digest(tmp_path / "alone")


@pytest.mark.parametrize(
    "settings", [{"train": 0}, {"image_size": 8}, {"photons": 0}, {"seed": -1}, {"sede": 1}]
)
def test_impossible_settings_are_refused(settings):
    with pytest.raises(ValidationError):
        LodopabPhantomSettings(**settings)
