import pytest
import torch

from models.blocks.xray_diffusion.blending import Windows, window_weights

KINDS = ["constant", "gaussian", "cosine"]
EXTENTS = [(16, 16, 16), (13, 17, 21), (8, 8, 19)]


def windows(extent, blend, overlap=0.5, at_once=3):
    return Windows(
        extent, 8, overlap=overlap, blend=blend, at_once=at_once, device=torch.device("cpu")
    )


@pytest.mark.parametrize("blend", KINDS)
@pytest.mark.parametrize("extent", EXTENTS)
@pytest.mark.parametrize("overlap", [0.0, 0.3, 0.5, 0.75])
def test_weights_sum_to_one_at_every_voxel(extent, blend, overlap):
    """What says 1 everywhere comes out as 1, the outermost voxels included."""
    found = windows(extent, blend, overlap).blended(
        torch.zeros(extent), lambda patches, corners: torch.ones_like(patches)
    )
    assert found.shape == extent
    torch.testing.assert_close(found, torch.ones(extent), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("blend", KINDS)
@pytest.mark.parametrize("extent", EXTENTS)
def test_every_window_gets_its_part_of_the_volume_and_gives_it_back(extent, blend):
    volume = torch.rand(extent)

    def check(patches, corners):
        for patch, (d, h, w) in zip(patches, corners.tolist(), strict=True):
            assert torch.equal(patch[0], volume[d : d + 8, h : h + 8, w : w + 8])
        return patches

    torch.testing.assert_close(windows(extent, blend).blended(volume, check), volume)


@pytest.mark.parametrize("blend", KINDS)
def test_the_number_of_windows_at_once_changes_nothing(blend):
    volume = torch.rand(13, 17, 21)

    def predict(patches, corners):
        return patches * corners.sum(dim=1).reshape(-1, 1, 1, 1, 1)

    one, many = (windows((13, 17, 21), blend, at_once=count) for count in (1, 100))
    assert torch.equal(one.blended(volume, predict), many.blended(volume, predict))


def test_kinds_differ_in_how_much_the_rim_counts():
    middle, rim = (4, 4, 4), (4, 4, 0)
    shares = [window_weights(kind, 8)[rim] / window_weights(kind, 8)[middle] for kind in KINDS]
    assert shares[0] == 1
    assert 0 < shares[1] < 0.1
    assert 0 < shares[2] < 0.1
    assert shares[1] != shares[2]


def test_cosine_weights_of_neighbours_that_overlap_by_half_sum_to_one_by_themselves():
    line = window_weights("cosine", 16)[:, 8, 8]
    line = line / line.max()
    half = torch.sin(torch.pi * (torch.arange(16) + 0.5) / 16) ** 2
    torch.testing.assert_close(line, (half / half.max()).float())
    torch.testing.assert_close(half[:8] + half[8:], torch.ones(8))


def test_two_windows_that_disagree_meet_gradually_with_cosine_and_abruptly_with_none():
    def jumps(blend):
        found = windows((8, 8, 12), blend).blended(
            torch.zeros(8, 8, 12),
            lambda patches, corners: (
                torch.ones_like(patches) * (corners[:, 2] > 0).reshape(-1, 1, 1, 1, 1)
            ),
        )
        return found[4, 4].diff().abs().max()

    assert jumps("cosine") < 0.45
    assert jumps("constant") == pytest.approx(0.5)
