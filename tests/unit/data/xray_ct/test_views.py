"""The two X-rays of one case, however they are given."""

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from data.xray_ct.views import find_cases, read_views
from protocol.errors import DataError

FRONT = np.arange(64, dtype=np.uint8).reshape(8, 8)
LATERAL = FRONT.T.copy()


def write(path, values):
    if path.suffix == ".png":
        Image.fromarray(values).save(path)
    elif path.suffix == ".npy":
        np.save(path, values)
    else:
        torch.save(torch.from_numpy(values / np.float32(255)), path)
    return path


def pair(folder, front, lateral):
    folder.mkdir(exist_ok=True)
    return [write(folder / front, FRONT), write(folder / lateral, LATERAL)]


def assert_read(views):
    np.testing.assert_allclose(views.front, FRONT / 255, atol=1e-6)
    np.testing.assert_allclose(views.lateral, LATERAL / 255, atol=1e-6)


@pytest.mark.parametrize(
    ("front", "lateral"),
    [
        ("ap.png", "lat.png"),
        ("AP.pt", "LAT.pt"),
        ("a.npy", "b.npy"),
        ("ap.png", "lat.pt"),
        ("scan_1.npy", "scan_2.png"),
    ],
)
def test_two_files_of_any_kind_are_the_front_and_the_lateral_view(tmp_path, front, lateral):
    paths = pair(tmp_path, front, lateral)
    views = read_views(paths)
    assert_read(views)
    assert views.sources == tuple(map(str, paths))


@pytest.mark.parametrize(
    ("front", "lateral"),
    [
        ("p7_pa_drr.png", "p7_lat_drr.png"),  # NIfTI + PNG
        ("AP.pt", "LAT.pt"),  # DiffX2CT
        ("Front-view.npy", "side view.png"),
    ],
)
def test_a_case_folder_s_views_are_known_by_their_names(tmp_path, front, lateral):
    folder = tmp_path / "latte_pa"  # the folder's own name says nothing
    pair(folder, front, lateral)
    (folder / "p7.nii.gz").touch()
    assert_read(read_views([folder]))


@pytest.mark.parametrize("named", ["folder", "file"])
def test_an_hdf5_case_has_both(tmp_path, named):
    path = tmp_path / "ct_xray_data.h5"
    with h5py.File(path, "w") as file:
        file["xray1"], file["xray2"] = FRONT, LATERAL
    assert_read(read_views([tmp_path if named == "folder" else path]))


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["ap.png"], "expected two X-rays, the front view first, or the folder of one case"),
        (["ap.png", "lat.png", "ap.png"], "expected two X-rays"),
        (["lat.png", "ap.png"], "found lat.png first and ap.png second.*swap them"),
        (["ap.png", "."], "expected one folder or two files"),
        (["ap.png", "lat.jpg"], r"lat.jpg: X-rays are read from .png, .pt, .npy, .dcm files"),
        (["ap.png", "none.png"], "there is no file .*none.png"),
        (["none"], "expected two X-rays"),
    ],
)
def test_what_is_no_case_is_refused_with_what_was_expected(tmp_path, names, words):
    pair(tmp_path, "ap.png", "lat.png")
    (tmp_path / "lat.jpg").touch()
    with pytest.raises(DataError, match=words):
        read_views([tmp_path / name for name in names])


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], "holds no image; expected one front view and one lateral view"),
        (["ap.png"], "holds ap.png; expected"),
        (["ap.png", "pa.png", "lat.png"], "holds ap.png, lat.png, pa.png; expected"),
        (["one.png", "two.png"], "holds one.png, two.png; expected"),
    ],
)
def test_a_folder_without_one_view_of_each_kind_is_refused(tmp_path, names, words):
    for name in names:
        write(tmp_path / name, FRONT)
    with pytest.raises(DataError, match=words):
        read_views([tmp_path])


def found(*inputs):
    cases, notes = find_cases(inputs)
    return {case.name: [path.name for path in case.inputs] for case in cases}, notes


def test_cases_in_a_folder_are_folders_and_pairs_of_names(tmp_path):
    pair(tmp_path, "p1_ap.png", "p1_lat.png")
    pair(tmp_path, "P2-Frontal-2.png", "P2-Lateral-2.png")
    (tmp_path / "p3" / "late").mkdir(parents=True)
    pair(tmp_path / "p3" / "late", "front.png", "side.png")
    (tmp_path / "slices").mkdir()
    write(tmp_path / "slices" / "one.png", FRONT)
    cases, notes = found(tmp_path)
    assert cases == {
        "P2-2": ["P2-Frontal-2.png", "P2-Lateral-2.png"],
        "p1": ["p1_ap.png", "p1_lat.png"],
        "p3/late": ["late"],
    }
    assert notes[0].startswith("the images in slices are not used: no name has `ap`")
    assert found(tmp_path / "p3" / "late") == ({"late": ["late"]}, ())
    two = tmp_path / "p1_ap.png", tmp_path / "p1_lat.png"
    assert found(*two) == ({"p1": ["p1_ap.png", "p1_lat.png"]}, ())


def test_a_view_without_its_other_is_a_case_that_reading_refuses(tmp_path):
    write(tmp_path / "p1_ap.png", FRONT)
    (case,), _ = find_cases([tmp_path])
    with pytest.raises(DataError, match="expected two X-rays"):
        read_views(case.inputs)
    with pytest.raises(DataError, match=r"--input: .* holds no X-rays"):
        find_cases([(tmp_path / "none").mkdir() or tmp_path / "none"])
