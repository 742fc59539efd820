import pytest
import torch

from data.geometry import ParallelGeometry
from models.blocks.fbp.scan_plan import scan_plan
from models.blocks.fbp.symmetry import LANES, fold, fold_transpose, unfold, unfold_transpose

SIZES = [(16, 9, 10), (8, 12, 7), (6, 5, 4), (5, 8, 1)]
BATCH = 3


@pytest.fixture(params=SIZES, ids=str)
def plan(request):
    angles, detectors, size = request.param
    return scan_plan(ParallelGeometry.lodopab(angles=angles, detectors=detectors, image_size=size))


def test_fold_transpose_is_the_transpose_of_fold(plan):
    scan = plan.geometry
    sinogram = torch.randn(BATCH, scan.angles, scan.detectors, dtype=torch.float64)
    table = fold(sinogram, plan)
    other = torch.randn_like(table)
    back = fold_transpose(other, plan, BATCH)
    assert (table * other).sum().item() == pytest.approx((sinogram * back).sum().item())


def test_unfold_transpose_is_the_transpose_of_unfold(plan):
    scan = plan.geometry
    columns = plan.table_columns(BATCH, LANES)
    sums = torch.randn(plan.half_rows, scan.image_size, columns, dtype=torch.float64)
    images = unfold(sums, plan, BATCH)
    other = torch.randn_like(images)
    back = unfold_transpose(other, plan)
    assert images.shape == (BATCH, scan.image_size, scan.image_size)
    assert (images * other).sum().item() == pytest.approx((sums * back).sum().item())


def test_every_reading_is_folded_twice_and_surrounded_by_empty_cells(plan):
    scan = plan.geometry
    table = fold(torch.ones(BATCH, scan.angles, scan.detectors), plan)
    assert table.sum() == 2 * BATCH * scan.angles * scan.detectors
    assert table[:, 0].count_nonzero() == 0
    assert table[:, scan.detectors + 1 :].count_nonzero() == 0
