"""What all three layouts promise, and how a folder's layout is told."""

import json
import logging
import shutil

import numpy as np
import pytest

from data.xray_ct.layouts.find import FORMATS, NOTE, find_cases, read_note
from data.xray_ct.layouts.format import Pair
from data.xray_ct.prepare.thorax import draw_thorax
from protocol.errors import DataError

LAYOUTS = sorted(FORMATS)


@pytest.fixture(scope="module")
def pair():
    chest = draw_thorax(1, 2, 12)
    xrays = np.random.default_rng(0).random((2, 9, 9), dtype=np.float32)
    hu = np.clip(chest.hu, -1024, 1500)
    return Pair(hu=hu, voxel_size=(3.0, 2.0, 1.5), xrays=xrays)


@pytest.fixture(params=LAYOUTS)
def written(request, tmp_path, pair):
    """A format, and the one case in its layout."""
    form = FORMATS[request.param]
    form.write(tmp_path, "case-1.a", pair)
    (case,) = form.cases(tmp_path)
    return form, case


def test_a_case_that_was_written_is_found_by_its_name(written):
    _, case = written
    assert case.name == "case-1.a"
    assert all(path.is_file() for path in case.files)


def test_volumes_come_back_in_hounsfield_units_and_the_same_way_round(written, pair):
    form, case = written
    np.testing.assert_allclose(form.volume(case, None), pair.hu, atol=0.51)


def test_views_come_back_front_first(written, pair):
    form, case = written
    for found, expected in zip(form.xrays(case), pair.xrays, strict=True):
        np.testing.assert_allclose(found, expected, atol=0.51 / 255)


def test_headers_tell_the_shape_and_where_there_is_one_the_voxel_size(written, pair):
    form, case = written
    extent = form.check(case, None)
    assert extent.shape == pair.hu.shape
    if form.name != "diffx2ct":
        assert extent.voxel_size == pytest.approx((3.0, 2.0, 1.5))


def test_a_truncated_volume_is_refused_at_the_latest_when_it_is_read(written):
    form, case = written
    whole = case.ct.read_bytes()
    case.ct.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(DataError, match=r"copy or (export|download) it again") as refusal:
        read_all(form, case)
    assert str(case.ct) in str(refusal.value)


def read_all(form, case):
    form.check(case, None)
    form.volume(case, None)


def test_a_file_of_another_kind_is_refused_by_its_header(written):
    form, case = written
    case.ct.write_text("something else altogether")
    with pytest.raises(DataError, match="again") as refusal:
        form.check(case, None)
    assert str(case.ct) in str(refusal.value)


def test_each_layout_is_told_by_its_files(tmp_path, pair, caplog):
    caplog.set_level(logging.INFO)
    for layout in LAYOUTS:
        FORMATS[layout].write(tmp_path / layout, "one", pair)
        found = find_cases(tmp_path / layout)
        assert found.format.name == layout
        assert [case.name for case in found.cases] == ["one"]
        assert f"1 cases of the layout {layout}, since {FORMATS[layout].pattern}" in caplog.text


def test_files_that_belong_to_no_case_are_no_case(tmp_path, pair):
    FORMATS["nifti_png"].write(tmp_path, "one", pair)
    (tmp_path / "one" / "one_swapped.nii.gz").write_bytes(b"")
    (tmp_path / "two").mkdir()
    (tmp_path / "readme.txt").write_text("")
    assert [case.name for case in find_cases(tmp_path).cases] == ["one"]


def test_a_folder_of_two_layouts_asks_which_one(tmp_path, pair):
    for layout in LAYOUTS[:2]:
        FORMATS[layout].write(tmp_path, layout, pair)
    with pytest.raises(DataError, match=r"layouts .* and .*data\.layout"):
        find_cases(tmp_path)
    for layout in LAYOUTS[:2]:
        assert find_cases(tmp_path, layout).format.name == layout


def test_what_a_data_set_says_of_itself_goes_before_looking(tmp_path, pair):
    for layout in LAYOUTS[:2]:
        FORMATS[layout].write(tmp_path, layout, pair)
    (tmp_path / NOTE).write_text(json.dumps({"layout": LAYOUTS[1]}))
    found = find_cases(tmp_path)
    assert (found.format.name, found.why) == (LAYOUTS[1], f"{NOTE} says so")


def test_a_folder_without_pairs_is_told_what_was_expected(tmp_path):
    with pytest.raises(DataError, match=r"no folder .*nowhere"):
        find_cases(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"CT_pt/\{id\}_ct\.pt.*prepare xray_ct"):
        find_cases(tmp_path)


def test_asking_for_the_wrong_layout_says_what_is_there(tmp_path, pair):
    FORMATS["x2ct_gan"].write(tmp_path, "one", pair)
    with pytest.raises(DataError, match=r"no case of the layout diffx2ct.*it holds x2ct_gan"):
        find_cases(tmp_path, "diffx2ct")


def test_a_note_gives_voxel_sizes_by_case(chests):
    note = read_note(chests())
    assert note.layout == "diffx2ct"
    assert note.voxel_size["phantom0000"] == (30.0, 30.0, 30.0)
    assert not note.splits_share_people
    assert note.record["phantoms"]["seed"] == 3


@pytest.mark.parametrize("text", ["{", "[]", '{"voxel_size_mm": {"a": [1, 0, 1]}}'])
def test_a_damaged_note_is_refused(tmp_path, text):
    (tmp_path / NOTE).write_text(text)
    with pytest.raises(DataError, match=r"xray_ct\.json is truncated or damaged"):
        read_note(tmp_path)


def test_a_case_that_lacks_a_view_is_refused(made_chests, tmp_path):
    for layout, view in (("diffx2ct", "LAT.pt"), ("nifti_png", "_lat_drr.png")):
        root = shutil.copytree(made_chests(layout), tmp_path / layout)
        found = find_cases(root)
        found.cases[1].lateral.unlink()
        with pytest.raises(DataError, match=f"no file .*{view}, which the case phantom0001"):
            found.format.check(found.cases[1], None)
