import numpy as np
import pytest
import torch
from scipy import stats

from models.blocks.diffusion.boxes import (
    box_grid,
    boxes_anywhere,
    boxes_of_grid,
    inside,
    stitched,
)

SEEDS = torch.arange(3000)


def test_the_published_grid_is_four_boxes_that_do_not_overlap():
    assert box_grid(96, 96, 48).tolist() == [[0, 0], [0, 48], [48, 0], [48, 48]]


@pytest.mark.parametrize("size", [1, 5, 16, 31, 32])
@pytest.mark.parametrize("overlap", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("shape", [(32, 32), (47, 33)])
def test_a_grid_covers_the_slice_with_boxes_that_stay_within_it(size, overlap, shape):
    shared = int(overlap * size)
    grid = box_grid(*shape, size, shared)
    assert inside(grid, size, *shape).sum(dim=(1, 2)).unique().tolist() == [size**2]
    assert inside(grid, size, *shape).any(dim=0).all()
    for axis, length in enumerate(shape):
        starts = np.unique(grid[:, axis].numpy())
        assert len(starts) == max(1, -(-(length - shared) // (size - shared)))
        steps = np.diff(starts)
        assert (steps <= size - shared).all()
        assert not len(steps) or steps.max() - steps.min() <= 1


@pytest.mark.parametrize(("size", "overlap"), [(0, 0), (33, 0), (8, 8), (8, -1)])
def test_a_box_that_cannot_be_is_refused(size, overlap):
    with pytest.raises(ValueError, match=f"box: found {size} pixels with an overlap of {overlap}"):
        box_grid(32, 48, size, overlap)


def test_each_box_of_the_grid_is_trained_on_equally_often():
    grid = box_grid(30, 30, 10)
    corners = boxes_of_grid(SEEDS, grid)
    counts = [int((corners == box).all(dim=1).sum()) for box in grid]
    assert sum(counts) == len(SEEDS)
    assert stats.chisquare(counts).pvalue > 1e-3


def test_random_boxes_reach_everywhere_and_stay_within_the_slice():
    corners = boxes_anywhere(SEEDS, 12, 9, 6)
    assert corners.min(dim=0).values.tolist() == [0, 0]
    assert corners.max(dim=0).values.tolist() == [6, 3]
    counts = torch.bincount(corners[:, 0] * 4 + corners[:, 1], minlength=28)
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3


@pytest.mark.parametrize("draw", [
    lambda seeds: boxes_anywhere(seeds, 40, 40, 8),
    lambda seeds: boxes_of_grid(seeds, box_grid(40, 40, 8)),
])  # fmt: skip
def test_a_samples_box_does_not_depend_on_its_neighbours(draw):
    assert torch.equal(draw(SEEDS)[[5]], draw(SEEDS[[5]]))


def test_boxes_of_their_own_sizes_are_marked():
    corners, sizes = torch.tensor([[1, 2], [0, 0]]), torch.tensor([[2, 1], [1, 4]])
    found = inside(corners, sizes, 3, 4)
    expected = torch.zeros(2, 3, 4, dtype=torch.bool)
    expected[0, 1:3, 2] = True
    expected[1, 0, :] = True
    assert torch.equal(found, expected)


def test_boxes_are_put_together_with_their_overlaps_averaged():
    grid = box_grid(3, 5, 3, overlap=1)
    assert grid.tolist() == [[0, 0], [0, 2]]
    outputs = torch.stack([torch.full((2, 1, 3, 5), value) for value in (1.0, 3.0)])
    outputs[0, :, :, :, 3:] = 99.0  # outside of the first box
    row = stitched(outputs, inside(grid, 3, 3, 5))[1, 0, 0]
    assert row.tolist() == [1, 1, 2, 3, 3]


@pytest.mark.parametrize(("size", "overlap"), [(16, 0), (7, 3), (32, 0)])
def test_the_same_slice_in_every_box_gives_that_slice(size, overlap):
    image = torch.rand(3, 1, 32, 32)
    masks = inside(box_grid(32, 32, size, overlap), size, 32, 32)
    torch.testing.assert_close(stitched(image.expand(len(masks), -1, -1, -1, -1), masks), image)
