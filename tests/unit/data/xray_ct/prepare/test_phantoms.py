import hashlib
import multiprocessing

import pytest

from data.xray_ct.dataset import XrayCtVolumes
from data.xray_ct.layouts.find import FORMATS
from data.xray_ct.prepare.phantoms import XRAY_CT_PHANTOMS
from data.xray_ct.settings import XrayCtPhantomSettings
from protocol.errors import DataError

TINY = XrayCtPhantomSettings(size=8, xray_size=8, train=2, validation=1, test=1)


def digest(root):
    total = hashlib.sha256()
    for path in sorted(root.rglob("*.pt")):
        total.update(path.read_bytes())
    return total.hexdigest()


@pytest.mark.parametrize("layout", sorted(FORMATS))
def test_the_set_has_what_was_asked_for(tmp_path, chest_settings, layout):
    calls = []
    settings = TINY.model_copy(update={"layout": layout})
    XRAY_CT_PHANTOMS.make(tmp_path / "set", settings, step=lambda *at: calls.append(at))
    assert calls == [(done, 4) for done in range(1, 5)]
    for split, count in (("train", 2), ("validation", 1), ("test", 1)):
        volumes = XrayCtVolumes(chest_settings(tmp_path / "set", ct_size=8, xray_size=8), split)
        assert len(volumes) == count
        assert volumes[0]["ct"].shape == (1, 8, 8, 8)
        assert volumes.voxel_size(0) == pytest.approx((45.0, 45.0, 45.0))


def test_the_seed_decides_every_value(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        XRAY_CT_PHANTOMS.make(tmp_path / name, TINY.model_copy(update={"seed": seed}))
    assert digest(tmp_path / "a") == digest(tmp_path / "b") != digest(tmp_path / "c")


def test_a_set_of_the_same_settings_is_used_as_it_is(tmp_path):
    XRAY_CT_PHANTOMS.ensure(tmp_path / "set", TINY)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "set").rglob("*")}
    XRAY_CT_PHANTOMS.ensure(tmp_path / "set", TINY)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "set").rglob("*")} == before


def test_a_set_of_other_settings_is_refused_by_name(tmp_path):
    XRAY_CT_PHANTOMS.ensure(tmp_path / "set", TINY)
    other = TINY.model_copy(update={"train": 3, "seed": 1})
    with pytest.raises(DataError, match=r"made with seed 0, train 2, .* asks for seed 1, train 3"):
        XRAY_CT_PHANTOMS.ensure(tmp_path / "set", other)


def test_a_set_that_says_nothing_of_itself_is_the_users(tmp_path):
    XRAY_CT_PHANTOMS.ensure(tmp_path / "set", TINY)
    note = tmp_path / "set" / "xray_ct.json"
    note.write_text("{")
    with pytest.raises(DataError, match="is truncated or damaged"):
        XRAY_CT_PHANTOMS.ensure(tmp_path / "set", TINY)
    note.unlink()
    XRAY_CT_PHANTOMS.ensure(tmp_path / "set", TINY.model_copy(update={"seed": 9}))
    assert not note.exists()


def test_processes_that_start_together_build_it_once(tmp_path):
    processes = multiprocessing.get_context("fork")
    builders = [
        processes.Process(target=XRAY_CT_PHANTOMS.ensure, args=(tmp_path / "set", TINY))
        for _ in range(2)
    ]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join(60)
    assert [builder.exitcode for builder in builders] == [0, 0]
    assert not list(tmp_path.glob(".set.partial-*"))
    XRAY_CT_PHANTOMS.make(tmp_path / "expected", TINY)
    assert digest(tmp_path / "set") == digest(tmp_path / "expected")
