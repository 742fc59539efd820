import itertools
import json

import numpy as np
import pytest

from data.physics.attenuation import IntensityScale
from data.xray_ct.dataset import XrayCtVolumes
from data.xray_ct.layouts.find import FORMATS, find_cases
from data.xray_ct.prepare.prepare import hounsfield, prepare_xray_ct, tube_of
from data.xray_ct.prepare.settings import XrayCtPrepareSettings
from data.xray_ct.splits import read_splits
from protocol.errors import DataError, SettingsError

SIZE = 20


@pytest.fixture
def prepare(tmp_path):
    """Prepares with small sizes; returns the data set's folder and what was said."""

    def run(source, **changes):
        said = []
        values = {"size": SIZE, "xray_size": SIZE, "out": tmp_path / "out"} | changes
        settings = XrayCtPrepareSettings(source=source, **values)
        prepare_xray_ct(settings, said.append, lambda done, total: said.append((done, total)))
        return settings.out, said

    return run


@pytest.fixture
def source(tmp_path, nifti, head):
    """Three patients' scans of 48 × 40 × 48 mm: bone on the right, fat in front, teeth above."""
    folder = tmp_path / "scans"
    folder.mkdir()
    for number in range(3):
        nifti(folder / f"p{number}.nii.gz", np.roll(with_teeth(head), number, axis=2))
    return folder


def with_teeth(head):
    """The densest thing of all in the upper half."""
    changed = head.copy()
    changed[8:14, 8:12, 10:12] = 2500
    return changed


@pytest.mark.parametrize("layout", sorted(FORMATS))
def test_scans_become_pairs_with_the_right_on_the_left_and_the_front_first(
    prepare, source, chest_settings, layout
):
    root, said = prepare(source, layout=layout)
    assert (3, 3) in said
    volumes = XrayCtVolumes(chest_settings(root, ct_size=SIZE, xray_size=SIZE), "train")
    sample = volumes[0]
    ct, (front, lateral) = sample["ct"][0], sample["xrays"]
    assert np.argwhere(ct > 0.99)[:, 0].max() < SIZE / 2  # above
    bone = np.argwhere((ct > (700 + 1024) / 2524) & (ct < 0.8))
    assert np.median(bone[:, 2]) < SIZE / 3  # on the patient's right
    fat = np.argwhere(np.abs(ct * 2524 - 1024 + 100) < 30)
    assert np.median(fat[:, 1]) < SIZE / 2  # in front
    assert front[:, : SIZE // 2].sum() > 1.1 * front[:, SIZE // 2 :].sum()
    rows = (lateral > 0.05).any(axis=1)
    assert np.array_equal(rows, (front > 0.05).any(axis=1))
    assert volumes.voxel_size(0) == pytest.approx((42 * 1.06 / SIZE,) * 3, rel=0.1)


def test_dicom_slices_of_unequal_spacing_give_cubes_of_equal_sides(
    prepare, tmp_path, dicom, head, chest_settings
):
    for number in range(3):
        dicom(
            tmp_path / "d" / str(number),
            with_teeth(head),
            series=f"1.2.{number}",
            patient=f"P{number}",
        )
    root, _ = prepare(tmp_path / "d", layout="nifti_png")
    ct = XrayCtVolumes(chest_settings(root, ct_size=SIZE, xray_size=SIZE), "train")[0]["ct"][0]
    assert np.argwhere(ct > 0.99)[:, 0].max() < SIZE / 2  # teeth are above
    there = ct > 0.2
    lengths = [
        np.count_nonzero(there.any(axis=tuple(o for o in range(3) if o != axis)))
        for axis in range(3)
    ]
    # 14 slices of 3 mm, 16 rows and 20 columns of 2 mm.
    assert lengths[0] / lengths[1] == pytest.approx(42 / 32, rel=0.15)
    assert lengths[2] / lengths[1] == pytest.approx(40 / 32, rel=0.15)
    text = (root / "xray_ct.json").read_text() + (root / "splits.csv").read_text()
    assert "P1" not in text  # a hospital's id


def test_views_are_the_line_integrals_of_the_volume_beside_them(prepare, source, chest_settings):
    from data.physics.radiograph import radiographs

    for geometry in ("parallel", "cone"):
        options = {"geometry": geometry, "source_isocentre": 120, "source_detector": 180}
        root, _ = prepare(source, layout="x2ct_gan", overwrite=True, **options)
        found = find_cases(root)
        hu = found.format.volume(found.cases[0], None)
        parallel = radiographs(hu, (1.0,) * 3, SIZE)
        views = np.stack(found.format.xrays(found.cases[0]))
        assert np.allclose(views, parallel, atol=3e-3) == (geometry == "parallel")


def test_scans_on_another_scale_are_turned_into_hounsfield_units(tmp_path, nifti, head):
    from data.scans.find import find_scans

    grey = nifti(tmp_path / "grey.nii.gz", (head + 1000) / 20 + 5)
    usual = nifti(tmp_path / "usual.nii.gz", head)
    (scan,), (expected,) = find_scans(grey).scans, find_scans(usual).scans
    with pytest.raises(DataError, match="--intensity_range"):
        hounsfield(scan, IntensityScale(), print)
    hu, voxel_size = hounsfield(scan, IntensityScale((5, 4071 / 20 + 5)), print)
    assert voxel_size == (3.0, 2.0, 2.0)
    np.testing.assert_allclose(hu, hounsfield(expected, IntensityScale(), print)[0], atol=3)


def test_values_below_air_and_above_what_scanners_end_at_are_clipped(tmp_path, nifti, head):
    from data.scans.find import find_scans

    values = head.copy()
    values[0, 0, 0], values[1, 0, 0] = -3024, 9000
    (scan,) = find_scans(nifti(tmp_path / "a.nii.gz", values)).scans
    hu, _ = hounsfield(scan, IntensityScale(), print)
    assert (hu.min(), hu.max()) == (-1024, 3071)


def test_one_scan_makes_a_small_set_of_variants_and_says_so(prepare, tmp_path, nifti, head):
    root, said = prepare(nifti(tmp_path / "one.nii.gz", head), variants=6, layout="x2ct_gan")
    rows = read_splits(root / "splits.csv")
    assert len(rows) == 6
    assert {split for _, _, split in rows} == {"train", "validation", "test"}
    assert any("ALL COME FROM ONE PATIENT" in str(line) for line in said)
    note = json.loads((root / "xray_ct.json").read_text())
    assert note["splits_share_people"]
    assert note["cases"]["one-v002"] == {"source": "one.nii.gz", "variant": 2}
    found = find_cases(root)
    volumes = [found.format.volume(case, None) for case in found.cases]
    for first, second in itertools.pairwise(volumes):
        assert np.abs(first - second).mean() > 30


def test_opening_variants_of_one_scan_warns_of_it(
    prepare, tmp_path, nifti, head, chest_settings, caplog
):
    root, _ = prepare(nifti(tmp_path / "one.nii.gz", head), variants=3, layout="x2ct_gan")
    XrayCtVolumes(chest_settings(root), "test")
    assert "all splits come from the same people" in caplog.text


def test_the_same_options_make_the_same_set(prepare, tmp_path, nifti, head):
    source = nifti(tmp_path / "one.nii.gz", head)
    options = {"variants": 3, "layout": "nifti_png", "photons": 1000}
    first, _ = prepare(source, out=tmp_path / "a", **options)
    second, _ = prepare(source, out=tmp_path / "b", **options)
    other, _ = prepare(source, out=tmp_path / "c", **options, seed=1)

    def content(root):
        return [path.read_bytes() for path in sorted(root.glob("*/*"))]

    assert content(first) == content(second) != content(other)


def test_a_source_inside_the_body_is_refused_and_nothing_is_written(prepare, source, tmp_path):
    with pytest.raises(SettingsError, match="--source_isocentre: found 20 mm"):
        prepare(source, geometry="cone", source_isocentre=20, source_detector=50)
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".out.partial-*"))


def test_a_disk_without_room_is_refused_before_anything_is_read(prepare, source):
    with pytest.raises(DataError, match=r"needs about .* lower --size or --variants"):
        prepare(source, size=40000)


def test_a_folder_that_is_taken_is_refused(prepare, source):
    prepare(source)
    with pytest.raises(DataError, match="--overwrite"):
        prepare(source)


def test_the_tube_is_as_asked_for_and_behind_where_the_layout_has_pa_views(tmp_path):
    def tube(**changes):
        return tube_of(XrayCtPrepareSettings(source=tmp_path, out=tmp_path / "out", **changes))

    assert tube().beam is None
    cone = tube(geometry="cone", source_isocentre=500, source_detector=800, layout="x2ct_gan")
    assert cone.beam.magnification == 1.6
    assert cone.from_behind
    assert not tube(layout="diffx2ct").from_behind
