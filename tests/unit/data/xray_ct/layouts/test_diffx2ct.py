import numpy as np
import pytest
import torch

from data.xray_ct.layouts.diffx2ct import DiffX2ctFormat
from protocol.errors import DataError

FORM = DiffX2ctFormat()


@pytest.fixture
def case(tmp_path):
    """A case written by hand: air above, 0 HU below, the densest voxel in a corner."""
    volume = torch.zeros(1, 6, 7, 8)
    volume[:, 3:] = 1024 / 2524
    volume[0, 5, 0, 7] = 1
    (tmp_path / "CT_pt").mkdir()
    (tmp_path / "DRR_mod" / "a_ct").mkdir(parents=True)
    torch.save(volume, tmp_path / "CT_pt" / "a_ct.pt")
    torch.save(torch.full((1, 5, 5), 0.25), tmp_path / "DRR_mod" / "a_ct" / "AP.pt")
    torch.save(torch.full((5, 5), 0.75), tmp_path / "DRR_mod" / "a_ct" / "LAT.pt")
    (found,) = FORM.cases(tmp_path)
    return found


def save(path, values):
    torch.save(values, path)


def test_tensors_of_the_published_scale_are_read_as_hounsfield_units(case):
    assert case.name == "a"
    assert FORM.check(case, None).shape == (6, 7, 8)
    hu = FORM.volume(case, None)
    assert hu.dtype == np.float32
    assert hu[0].max() == -1024
    assert hu[5, 1, 1] == pytest.approx(0, abs=1e-3)
    assert hu[5, 0, 7] == 1500
    front, lateral = FORM.xrays(case)
    assert front.shape == lateral.shape == (5, 5)
    assert (front.max(), lateral.max()) == (0.25, 0.75)


def test_stored_axes_may_be_others(case):
    assert FORM.check(case, "SLP").shape == (6, 8, 7)
    hu = FORM.volume(case, "SLP")
    assert hu.shape == (6, 8, 7)
    assert hu[0, 7, 0] == 1500


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_taken(case, dtype):
    body = torch.full((6, 7, 8), 0.5)
    body[3:] = 0.0
    save(case.ct, body.to(dtype))
    FORM.check(case, None)
    assert FORM.volume(case, None)[0, 0, 0] == pytest.approx(238)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (torch.zeros(6, 7), "expected a volume"),
        (torch.zeros(2, 6, 7, 8), "expected a volume"),
        (torch.zeros(6, 7, 8, dtype=torch.int16), "floating-point"),
        ({"ct": torch.zeros(6, 7, 8)}, "expected a tensor"),
    ],
)
def test_a_tensor_of_another_kind_is_refused_by_its_header(case, values, words):
    save(case.ct, values)
    with pytest.raises(DataError, match=words):
        FORM.check(case, None)


@pytest.mark.parametrize(
    ("value", "words"),
    [(float("nan"), "NaN or infinite"), (-1000.0, "from -1000 to .* expected 0 to 1")],
)
def test_values_that_the_layout_does_not_have_are_refused(case, value, words):
    save(case.ct, torch.tensor([value, 0.5]).repeat(6, 7, 4))
    with pytest.raises(DataError, match=words):
        FORM.volume(case, None)


def test_a_view_that_is_no_image_is_refused_by_its_header(case):
    save(case.front, torch.zeros(3, 5, 5))
    with pytest.raises(DataError, match=r"AP\.pt has the shape .* expected one image"):
        FORM.check(case, None)
