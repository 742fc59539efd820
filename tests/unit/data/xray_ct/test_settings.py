import pytest
from pydantic import ValidationError

from data.xray_ct.settings import XrayCtSettings

SIZES = {"root": "x", "ct_size": 8, "xray_size": 8}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hu_window": (400, 400)}, "hu_window: found"),
        ({"ct_axes": "IPP"}, "one letter of each"),
        ({"ct_axes": "IP"}, "one letter of each"),
        ({"ct_axes": "XYZ"}, "one letter of each"),
        ({"patient_pattern": "("}, "no regular expression"),
        ({"xray_turn": 45}, "xray_turn"),
        ({"ct_size": 2}, "ct_size"),
        ({"fractions": (1, 0, 0)}, "fractions"),
        ({"layout": "dicom"}, "layout"),
        ({"sizes": 3}, "sizes"),
        ({"generate": {"train": 0}}, "train"),
    ],
)
def test_keys_that_make_no_sense_are_refused_by_name(changes, words):
    with pytest.raises(ValidationError, match=words):
        XrayCtSettings(**(SIZES | changes))


def test_axes_are_taken_in_either_case():
    assert XrayCtSettings(**SIZES, ct_axes="spl").ct_axes == "SPL"
