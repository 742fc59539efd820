import logging

import numpy as np
import pytest

from data.xray_ct.cases import XrayCtCases
from data.xray_ct.layouts.find import NOTE as NOTE_FILE
from data.xray_ct.layouts.find import find_cases
from protocol.errors import DataError


@pytest.fixture(params=["diffx2ct", "nifti_png", "x2ct_gan"])
def layout(request):
    return request.param


def test_volumes_are_the_share_of_the_window(made_chests, chest_settings, layout):
    root = made_chests(layout)
    found = find_cases(root)
    hu = found.format.volume(found.cases[0], None)
    for low, high in ((-1024, 1500), (-200, 200)):
        cases = XrayCtCases(chest_settings(root, hu_window=(low, high)), "train")
        expected = np.clip((hu - low) / (high - low), 0, 1)
        np.testing.assert_allclose(cases.volume(0)[0], expected, atol=1e-5)


def test_volumes_and_views_are_resampled_to_the_sizes_asked_for(
    made_chests, chest_settings, layout
):
    cases = XrayCtCases(chest_settings(made_chests(layout), ct_size=6, xray_size=8), "train")
    assert cases.volume(0).shape == (1, 6, 6, 6)
    assert cases.xrays(0).shape == (2, 8, 8)
    assert cases.voxel_size(0) == pytest.approx((60.0, 60.0, 60.0))  # mm, of 12 voxels of 30


def test_all_layouts_hold_the_same_phantoms(made_chests, chest_settings):
    one, *others = (
        XrayCtCases(chest_settings(made_chests(name)), "train")
        for name in ("diffx2ct", "nifti_png", "x2ct_gan")
    )
    for other in others:
        for index in range(len(one)):
            assert one.name(index) == other.name(index)
            np.testing.assert_allclose(one.volume(index), other.volume(index), atol=3e-4)
            np.testing.assert_allclose(one.xrays(index), other.xrays(index), atol=3e-3)


def test_all_headers_of_the_split_are_looked_at_when_it_is_opened(chests, chest_settings):
    root = chests("diffx2ct")
    (root / "CT_pt" / "phantom0002_ct.pt").write_text("damaged")
    with pytest.raises(DataError, match=r"phantom0002_ct\.pt is truncated or damaged"):
        XrayCtCases(chest_settings(root), "train")
    XrayCtCases(chest_settings(root), "validation")


def test_views_may_be_turned(made_chests, chest_settings):
    root = made_chests("nifti_png")
    upright = XrayCtCases(chest_settings(root), "train").xrays(0)
    for turn in (90, 180, 270):
        turned = XrayCtCases(chest_settings(root, xray_turn=turn), "train").xrays(0)
        clockwise = np.rot90(upright, -turn // 90, axes=(1, 2))
        np.testing.assert_array_equal(turned, clockwise)


def test_stored_axes_may_be_others(made_chests, chest_settings):
    root = made_chests("x2ct_gan")
    usual = XrayCtCases(chest_settings(root), "train").volume(0)
    other = XrayCtCases(chest_settings(root, ct_axes="SAL"), "train").volume(0)
    np.testing.assert_array_equal(other, usual[:, ::-1, ::-1])


def test_unequal_sides_are_stretched_and_their_voxel_sizes_say_so(tmp_path, chest_settings):
    import torch

    for number in range(3):
        views = tmp_path / "DRR_mod" / f"{number}_ct"
        views.mkdir(parents=True)
        (tmp_path / "CT_pt").mkdir(exist_ok=True)
        body = torch.full((6, 12, 24), 0.5)
        body[:, :4] = 0.0
        torch.save(body, tmp_path / "CT_pt" / f"{number}_ct.pt")
        for view in ("AP", "LAT"):
            torch.save(torch.zeros(5, 5), views / f"{view}.pt")
    cases = XrayCtCases(chest_settings(tmp_path, ct_size=12, voxel_size=(4, 2, 1)), "test")
    assert cases.voxel_size(0) == (2.0, 2.0, 2.0)
    np.testing.assert_allclose(cases.volume(0)[0, :, 6:], 0.5, atol=1e-6)


def test_voxels_of_unknown_size_are_taken_for_a_millimetre_and_the_log_says_so(
    chests, chest_settings, caplog
):
    root = chests("diffx2ct")
    (root / NOTE_FILE).unlink()
    cases = XrayCtCases(chest_settings(root), "train")
    assert cases.voxel_size(0) == (1.0, 1.0, 1.0)
    assert "how large the voxels of 3 cases are" in caplog.text


class TestCache:
    def test_what_was_resampled_is_read_back_by_another_process_to_be(
        self, chests, chest_settings, caplog
    ):
        root = chests("x2ct_gan")
        settings = chest_settings(root, cache_gb=1)
        first = XrayCtCases(settings, "train")
        volumes = [first.volume(index) for index in range(3)]
        with caplog.at_level(logging.INFO):
            second = XrayCtCases(settings, "train")
            np.testing.assert_array_equal(second.volume(2), volumes[2])
        assert "volumes of the train split: 3 of 3 are in" in caplog.text

    def test_a_damaged_array_is_made_anew(self, chests, chest_settings, caplog):
        root = chests("x2ct_gan")
        settings = chest_settings(root, cache_gb=1)
        expected = XrayCtCases(settings, "train").volume(1)
        (values,) = (
            path for path in root.glob(".cache/*/values.npy") if path.stat().st_size > 16384
        )
        content = bytearray(values.read_bytes())
        content[-1728 * 4 - 100] ^= 0xFF  # in the second of three volumes of 12³
        values.write_bytes(content)
        np.testing.assert_array_equal(XrayCtCases(settings, "train").volume(1), expected)
        assert "number 1 is damaged" in caplog.text

    @pytest.mark.parametrize(
        "change", [{"hu_window": (-500, 500)}, {"ct_axes": "SPL"}, {"ct_size": 8}]
    )
    def test_other_settings_do_not_get_the_arrays_of_these(self, chests, chest_settings, change):
        root = chests("x2ct_gan")
        usual = XrayCtCases(chest_settings(root, cache_gb=1), "train").volume(0)
        kept, fresh = (
            XrayCtCases(chest_settings(root, cache_gb=size, **change), "train").volume(0)
            for size in (1, 0)
        )
        np.testing.assert_array_equal(kept, fresh)
        assert kept.shape != usual.shape or not np.allclose(kept, usual)

    def test_a_changed_file_is_resampled_anew(self, chests, chest_settings):
        root = chests("nifti_png")
        settings = chest_settings(root, cache_gb=1)
        before = XrayCtCases(settings, "train")
        volume = before.volume(0)
        form = find_cases(root).format
        case = find_cases(root).cases[0]
        from data.scans.nifti_writer import nifti_bytes

        case.ct.write_bytes(nifti_bytes(form.volume(case, None) * 0.9, (30.0,) * 3))
        assert not np.allclose(XrayCtCases(settings, "train").volume(0), volume)
