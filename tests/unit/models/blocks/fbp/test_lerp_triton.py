"""The kernels without a GPU: their arithmetic interpreted, and their code compiled for one."""

import os
import subprocess
import sys
import textwrap

import pytest
import torch

from data.geometry import ParallelGeometry
from models.blocks.fbp import lerp
from models.blocks.fbp.scan_plan import scan_plan

triton = pytest.importorskip("triton", reason="needs Triton")


def test_interpreted_kernels_compute_what_the_compiled_loops_do(tmp_path):
    program = """
        import math
        import torch
        from data.geometry import ParallelGeometry
        from models.blocks.fbp import lerp, lerp_triton
        from models.blocks.fbp.scan_plan import scan_plan
        from models.blocks.fbp.symmetry import fold

        straight = dict(first_angle=0.0, angle_step=math.pi / 4)
        for geometry, dtype, batch in (
            (ParallelGeometry.lodopab(angles=12, detectors=37, image_size=9), torch.float32, 3),
            (ParallelGeometry.lodopab(angles=5, detectors=12, image_size=10), torch.float64, 4),
            (
                ParallelGeometry(
                    angles=3, detectors=7, image_size=10, first_angle=-0.4, angle_step=0.9,
                    detector_half_width=0.1,
                ),
                torch.float32,
                1,
            ),
            (ParallelGeometry(angles=5, detectors=9, image_size=5, **straight), torch.float64, 1),
        ):
            plan = scan_plan(geometry)
            scans = torch.randn(batch, geometry.angles, geometry.detectors, dtype=dtype)
            table = fold(scans, plan)
            sums = lerp_triton.gather(table, plan)
            torch.testing.assert_close(sums, lerp.gather_angles(table, plan))
            own = slice(plan.base_angles), slice(1, geometry.detectors + 1)
            back = lerp_triton.scatter(sums, plan)
            torch.testing.assert_close(back[own], lerp.scatter_angles(sums, plan)[own])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


INTEGERS = ("angles", "cells", "columns", "height", "width")
CONSTANTS = {"SIDE": 8, "CELLS": 32, "REACH": 3, "COLUMNS": 32}


@pytest.mark.parametrize("name", ["_gather", "_scatter"])
def test_kernels_compile_for_a_gpu_without_an_atomic_operation(name, tmp_path, monkeypatch):
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from models.blocks.fbp import lerp_triton

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    kernel = getattr(lerp_triton, name)
    kinds = dict.fromkeys(("origin", "row_step", "column_step"), "*fp64")
    kinds |= dict.fromkeys(("table", "sums"), "*fp32") | dict.fromkeys(INTEGERS, "i32")
    signature = {name: kinds.get(name, "constexpr") for name in kernel.arg_names}
    constants = {name: CONSTANTS[name] for name in kernel.arg_names if name in CONSTANTS}
    made = triton.compile(
        ASTSource(kernel, signature, constants),
        target=GPUTarget("cuda", 80, 32),
        options=lerp_triton.FUSED,
    )
    assert "ld.global" in made.asm["ptx"]
    assert "atom." not in made.asm["ptx"]
    assert "red." not in made.asm["ptx"]


def test_a_device_that_triton_does_not_know_gets_torch_operations():
    assert lerp._kernels(torch.device("meta")) is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_the_kernels_give_the_same_bits_every_time_and_torch_s_numbers():
    geometry = ParallelGeometry.lodopab(angles=200, detectors=183, image_size=128)
    plan = scan_plan(geometry)
    kernels = lerp._kernels(torch.device("cuda"))
    assert kernels is not None
    table = torch.zeros(len(plan.origin), plan.table_cells, 32, device="cuda")
    own = slice(plan.base_angles), slice(1, geometry.detectors + 1)
    table[own] = torch.randn_like(table[own])
    sums = kernels.gather(table, plan)
    back = kernels.scatter(sums, plan)
    torch.testing.assert_close(sums, lerp.gather_with_torch(table, plan))
    torch.testing.assert_close(back, lerp.scatter_with_torch(sums, plan))
    assert torch.equal(sums, kernels.gather(table, plan))
    assert torch.equal(back, kernels.scatter(sums, plan))
