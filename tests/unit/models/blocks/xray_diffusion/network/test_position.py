import pytest
import torch

from models.blocks.xray_diffusion.network.position import (
    patch_embedding,
    patch_features,
    plane_embedding,
)


def test_every_place_of_a_feature_map_has_a_vector_of_its_own():
    places = plane_embedding(8, 6, 32).flatten(1).T
    distances = torch.cdist(places, places) + 10 * torch.eye(48)
    assert distances.min() > 0.1


def test_rows_are_told_in_the_first_half_and_columns_in_the_second():
    places = plane_embedding(5, 7, 16)
    assert places.shape == (16, 5, 7)
    assert torch.equal(places[:8, :, :1].expand(-1, -1, 7), places[:8])
    assert torch.equal(places[8:, :1].expand(-1, 5, -1), places[8:])


def test_a_voxel_is_told_its_place_in_the_volume_not_in_the_patch():
    extent = torch.tensor([[16, 24, 32]])
    whole = patch_embedding(torch.zeros(1, 3), extent, (16, 24, 32), 12)
    patch = patch_embedding(torch.tensor([[4, 8, 16]]), extent, (8, 8, 8), 12)
    assert patch.shape == (1, 12, 8, 8, 8)
    torch.testing.assert_close(patch, whole[:, :, 4:12, 8:16, 16:24])


def test_the_same_share_of_a_larger_volume_is_the_same_place():
    small = patch_embedding(torch.zeros(1, 3), torch.full((1, 3), 9), (9, 9, 9), 6)
    large = patch_embedding(torch.zeros(1, 3), torch.full((1, 3), 17), (17, 17, 17), 6)
    torch.testing.assert_close(small, large[:, :, ::2, ::2, ::2])


def test_every_voxel_of_a_large_volume_has_a_vector_of_its_own_along_each_axis():
    for axis in range(3):
        size = tuple(256 if other == axis else 1 for other in range(3))
        places = patch_embedding(torch.zeros(1, 3), torch.full((1, 3), 256), size, 36)
        line = places.flatten(2)[0].T
        distances = torch.cdist(line, line) + torch.eye(256)
        assert distances.min() > 0.05


def test_samples_of_a_batch_have_corners_of_their_own():
    corners = torch.tensor([[0, 0, 0], [3, 2, 1]])
    extent = torch.full((2, 3), 8)
    both = patch_embedding(corners, extent, (4, 4, 4), 6)
    second = patch_embedding(corners[1:], extent[1:], (4, 4, 4), 6)
    assert torch.equal(both[1:], second)
    assert not torch.equal(both[:1], second)


@pytest.mark.parametrize(("width", "features"), [(32, 36), (48, 48), (64, 66), (8, 12)])
def test_places_take_about_as_many_channels_as_features(width, features):
    assert patch_features(width) == features
