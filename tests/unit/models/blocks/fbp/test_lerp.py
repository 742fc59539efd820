import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from data.geometry import ParallelGeometry
from models.blocks.fbp import lerp, lerp_kernels
from models.blocks.fbp.scan_plan import scan_plan
from models.blocks.fbp.symmetry import fold

GEOMETRIES = [
    ParallelGeometry.lodopab(angles=16, detectors=21, image_size=15),
    ParallelGeometry(
        angles=7,
        detectors=9,
        image_size=20,
        first_angle=-0.4,
        angle_step=0.3,
        detector_half_width=0.1,  # smaller than the image: pixels fall off both ends
    ),
    ParallelGeometry(angles=5, detectors=40, image_size=9, first_angle=0.0, angle_step=math.pi / 4),
]


@pytest.fixture(params=GEOMETRIES, ids=["symmetric", "general", "straight"])
def plan(request):
    return scan_plan(request.param)


@pytest.fixture(params=[torch.float32, torch.float64], ids=["float32", "float64"])
def dtype(request):
    return request.param


def table_of(plan, dtype, batch=3):
    scan = plan.geometry
    return fold(torch.randn(batch, scan.angles, scan.detectors, dtype=dtype), plan)


def detector(table, plan):
    """What a table holds of the detector's own cells."""
    return table[: plan.base_angles, 1 : plan.geometry.detectors + 1]


def test_compiled_loops_and_torch_operations_gather_the_same(plan, dtype):
    table = table_of(plan, dtype)
    torch.testing.assert_close(lerp.gather_angles(table, plan), lerp.gather_with_torch(table, plan))


def test_compiled_loops_and_torch_operations_scatter_the_same(plan, dtype):
    sums = torch.randn_like(lerp.gather_angles(table_of(plan, dtype), plan))
    compiled = detector(lerp.scatter_angles(sums, plan), plan)
    torch.testing.assert_close(compiled, detector(lerp.scatter_with_torch(sums, plan), plan))


class Operations(TorchDispatchMode):
    """The names of the operations that are run meanwhile."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.add(function.overloadpacket.__name__)
        return function(*args, **(kwargs or {}))


def test_torch_operations_add_nothing_in_an_order_that_a_device_may_choose(plan):
    sums = lerp.gather_angles(table_of(plan, torch.float32), plan)
    with Operations() as operations:
        lerp.scatter_with_torch(sums, plan)
    unordered = {"index_add", "index_put", "scatter_add", "scatter_reduce", "scatter"}
    assert operations.names
    assert not {name for name in operations.names if name.strip("_") in unordered}


@pytest.mark.parametrize("batch", [1, 2, 5, 9])  # columns in registers of 8, 16 and 32 in turn
def test_every_number_of_columns_is_taken_whole(plan, batch):
    table = table_of(plan, torch.float32, batch)
    sums = lerp.gather_angles(table, plan)
    torch.testing.assert_close(sums, lerp.gather_with_torch(table, plan))
    back = detector(lerp.scatter_angles(sums, plan), plan)
    torch.testing.assert_close(back, detector(lerp.scatter_with_torch(sums, plan), plan))


def test_torch_operations_in_small_pieces_give_the_same_as_at_once(plan, monkeypatch):
    table = table_of(plan, torch.float64)
    whole = lerp.gather_with_torch(table, plan)
    monkeypatch.setattr(lerp, "MAX_GATHERED", whole.numel() * 2)  # two angles
    torch.testing.assert_close(lerp.gather_with_torch(table, plan), whole)


def test_results_are_bit_equal_on_one_and_on_three_threads(plan, monkeypatch):
    table = table_of(plan, torch.float32)
    monkeypatch.setattr(lerp, "MIN_THREADED_WORK", 0)
    results = []
    for threads in (1, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        sums = lerp.gather_angles(table, plan)
        results.append((sums, lerp.scatter_angles(sums, plan)))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])


@pytest.mark.parametrize("total", [1, 8, 50, 181, 252])
def test_threads_share_out_all_of_the_work_once_at_multiples(plan, total, monkeypatch):
    monkeypatch.setattr(lerp, "MIN_THREADED_WORK", 0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    taken = []
    lerp._share_out(lambda first, end: taken.append((first, end)), total, 4, plan)
    taken = sorted(pair for pair in taken if pair[0] < pair[1])
    assert [first for first, _ in taken] == [0, *(end for _, end in taken[:-1])]
    assert taken[-1][1] == total
    assert all(first % 4 == 0 for first, _ in taken)


def by_four(plan):
    """Which of the tiles that are whole scatter four pixels at once."""
    steps = (plan.origin, plan.row_step, plan.column_step)
    height, size, tile = plan.half_rows, plan.geometry.image_size, lerp_kernels.TILE
    return [
        lerp_kernels._by_four(steps, angle, (i, i + tile), j, j + tile, plan.table_cells)
        for i in range(0, height - tile + 1, tile)
        for j in range(0, size - tile + 1, tile)
        for angle in range(0, len(plan.origin), lerp_kernels.ANGLES)
    ]


WITH_FOURS = ParallelGeometry.lodopab(angles=64, detectors=67, image_size=47)


@pytest.mark.parametrize("geometry", [WITH_FOURS, GEOMETRIES[1]], ids=["fours", "none"])
def test_every_weight_of_the_transpose_has_the_bits_of_the_forward_one(geometry):
    plan = scan_plan(geometry)
    cells, pixels = (len(plan.origin), plan.table_cells), (plan.half_rows, geometry.image_size)
    chance = torch.Generator().manual_seed(0)
    weights = 0
    for pixel in torch.randint(math.prod(pixels), (12,), generator=chance).tolist():
        one = torch.zeros(*pixels, 8)
        one.view(-1, 8)[pixel, 0] = 1
        table = lerp.scatter_angles(one, plan)[..., 0]
        for cell in table.flatten().nonzero().flatten().tolist():
            lit = torch.zeros(*cells, 8)
            lit.view(-1, 8)[cell, 0] = 1
            assert lerp.gather_angles(lit, plan)[..., 0].flatten()[pixel] == table.flatten()[cell]
            weights += 1
    assert weights >= 12 * plan.base_angles
    assert any(by_four(plan)) == (geometry is WITH_FOURS)


def test_most_of_a_full_scan_is_scattered_four_pixels_at_once():
    found = by_four(scan_plan(ParallelGeometry.lodopab()))
    assert sum(found) > 0.9 * len(found)
