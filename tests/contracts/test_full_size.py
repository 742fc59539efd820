"""The presets of the published recipes build, and learn, at full size on a CPU.

No data set is needed: one scan of full size is made in the published layout. Batch 1, because a
published batch takes minutes; what it costs is recorded.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from data.brain.dataset import BrainSettings
from data.brain.prepare.phantoms import BRAIN_PHANTOMS
from data.brain.prepare.settings import BrainPhantomSettings
from data.geometry import ParallelGeometry
from data.lodopab.prepare.writer import LodopabWriter
from data.xray_ct.prepare.phantoms import XRAY_CT_PHANTOMS
from data.xray_ct.settings import XrayCtPhantomSettings, XrayCtSettings
from models.registry import load_family
from protocol.folders import TrialFolder
from protocol.objective import Objective
from tests.contracts.bench import Bench, alone, first_point
from tests.contracts.cases import CASES, ROOT
from tests.ranks import make_plan, talk_together
from worker.ranks.batches import epoch_steps
from worker.ranks.guard import Wishes
from worker.training.checkpoint import save_checkpoint
from worker.training.step import take_step

# Millions of weights that train, as published; of ours, at most 2 % more or less.
WEIGHTS = {"fbp_window": 0.513, "fbp_unet": 30.93, "direct64": 17.7, "diffx2ct": 61.5}

# A processor without instructions for bf16 takes minutes for one 3-D convolution.
ON_A_CPU = {"batch_size": 1, "loader_workers": 0, "precision": "off"}

# The published patch of 128 voxels takes eight times the half minute and the memory of this one,
# and dense blocks on 256³ voxels five minutes where the plain ones of the second point take one.
SMALLER: dict[str, dict[str, Any]] = {
    "diffx2ct": {"patch_size": 64},
    "refine256": {"block": "plain", "width": 32},
}

# Whose step takes a minute's half or more; the others are the short form.
LONG = ("ddpm2d_patched", "refine256", "direct64", "diffx2ct", "ddpm2d", "fbp_unet")
NAMES = [case.name for case in CASES if not case.plugged]


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """Makes the folder of one scan of full size that a family can read."""
    made: dict[type, Path] = {}

    def of(data: type) -> Path:
        if data not in made:
            made[data] = tmp_path_factory.mktemp("full") / data.__name__
            _writer(data)(made[data])
        return made[data]

    return of


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.long if name in LONG else ()) for name in NAMES],
)
def test_the_published_recipe_takes_a_step_at_full_size(name, scans, tmp_path, record_property):
    preset = yaml.safe_load((ROOT / "studies" / f"{name}.yml").read_text())
    root = scans(load_family(name).Data)
    if "parent" in preset:
        preset["recipe"]["parent_file"] = str(_write_parent(tmp_path / "parent.pth", root, preset))
    trial = make_plan(
        tmp_path,
        family=name,
        data={**preset["data"], "root": str(root)},
        objective=Objective(**preset["objective"]),
        recipe=first_point(preset) | preset["recipe"] | ON_A_CPU | SMALLER.get(name, {}),
    )
    found = talk_together(_step, trial.path, ranks=1, patience=280)[0]
    for key, value in found.items():
        record_property(key, value)
    print(f"\n{name}: {found}")
    assert found["changed"]
    if name in WEIGHTS:
        assert found["million_weights"] == pytest.approx(WEIGHTS[name], rel=0.02)


def _step(folder: Path, rank: int, queue) -> None:
    """One optimiser step in a process of its own, so that its memory is told apart."""
    before, begun = _peak_mb(), time.process_time()
    bench = Bench(TrialFolder(folder), alone())
    built = time.process_time()
    bench.model.train()
    weights = [weight.detach().clone() for weight in bench.learner.parameters()]
    (step,) = epoch_steps([0], bench.trial.sharing)
    take_step(bench.trial, bench.learner, step, iter([bench.batch("train", [0])]), Wishes())
    found: dict[str, Any] = {
        "million_weights": round(sum(weight.numel() for weight in weights) / 1e6, 3),
        "changed": any(
            not torch.equal(old, new)
            for old, new in zip(weights, bench.learner.parameters(), strict=True)
        ),
        "build_cpu_seconds": round(built - begun, 1),
        "step_cpu_seconds": round(time.process_time() - built, 1),
        "peak_mb": round(_peak_mb()),
        "peak_mb_of_it_before": round(before),
    }
    queue.put((rank, found))


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _writer(data: type) -> Callable[[Path], None]:
    if issubclass(data, XrayCtSettings):
        return _write_chests
    return _write_mri if issubclass(data, BrainSettings) else _write_ct


def _write_chests(folder: Path) -> None:
    """Small ones: the reader makes them as large as the preset asks for."""
    settings = XrayCtPhantomSettings(size=32, xray_size=64, train=1, validation=1, test=1)
    XRAY_CT_PHANTOMS.make(folder, settings)


def _write_parent(path: Path, root: Path, preset: dict[str, Any]) -> Path:
    """A direct64 of full size in its volumes, but with few channels and untrained."""
    data = {**preset["data"], "root": str(root), "ct_size": preset["data"]["ct_size"] // 4}
    recipe = {"width": 8, "volume_width": 4}
    family = load_family("direct64")
    model = family(family.Settings(**recipe), family.Data(**data)).build_model()
    state = {"model": model.state_dict(), "family": "direct64", "recipe": recipe, "data": data}
    save_checkpoint(path, state)
    return path


def _write_ct(folder: Path) -> None:
    folder.mkdir()
    geometry = ParallelGeometry.lodopab(angles=1000, detectors=513, image_size=362)
    random = np.random.default_rng(0)
    for number, split in enumerate(("train", "validation", "test")):
        writer = LodopabWriter(folder, split, count=1, geometry=geometry)
        sinogram = random.random((1000, 513), dtype=np.float32) / 100
        image = random.random((362, 362), dtype=np.float32)
        writer.write(0, sinogram, image, patient=str(number))
        writer.finish()


def _write_mri(folder: Path) -> None:
    """Slices of full size; the volumes have few of them, and are padded."""
    settings = BrainPhantomSettings(
        shape=(192, 192, 16), train=1, validation=1, test=1, lesions=1, folds=1
    )
    BRAIN_PHANTOMS.make(folder, settings)
