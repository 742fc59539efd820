import logging

import pytest

from data.splits import PeopleList, bids_subject, check_disjoint, overlap_text, some_of
from protocol.errors import DataError


def listed(name, split, *people):
    return PeopleList(name=name, split=split, people=frozenset(people))


def test_lists_of_different_splits_are_compared_and_the_shared_named():
    lists = [
        listed("train.csv", "train", "a", "b", "c"),
        listed("val.csv", "validation", "d"),
        listed("test.csv", "test", "b", "c"),
        listed("ill_test.csv", "test", "c", "e"),
    ]
    assert overlap_text(lists, "subject") == (
        "2 subjects are both in train.csv and in test.csv (b, c); "
        "1 subject is both in train.csv and in ill_test.csv (c)"
    )
    assert overlap_text(lists[1:], "subject") is None


def test_of_many_shared_subjects_some_are_named_and_the_others_counted():
    names = [f"s{number:02d}" for number in range(13)]
    text = overlap_text([listed("a", "train", *names), listed("b", "test", *names)], "subject")
    assert text is not None
    assert text.startswith("13 subjects are both in a and in b (s00, s01,")
    assert text.endswith("s09 and 3 more)")


def test_shared_people_are_refused_with_the_remedy_or_warned_of_where_allowed(tmp_path, caplog):
    lists = [listed("a.csv", "train", "p1"), listed("b.csv", "test", "p1")]
    words = {"who": "patient", "remedy": "mend b.csv"}
    with pytest.raises(DataError, match=r"patients it was trained or tuned on; mend b\.csv, or"):
        check_disjoint(tmp_path, lists, **words, allowed=False)
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        check_disjoint(tmp_path, lists, **words, allowed=True)
    assert "1 patient is both in a.csv and in b.csv (p1)" in caplog.text


def test_names_are_shown_in_their_order():
    assert some_of(["b", "a"]) == "a, b"


def test_spellings_of_one_person_are_one_person():
    lists = [
        PeopleList(name=f"{split}.csv", split=split, people=frozenset(people))
        for split, people in (("train", ["P1", "q"]), ("test", ["p1 "]))
    ]
    assert overlap_text(lists, "patient") == "1 patient is both in train.csv and in test.csv (P1)"


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("sub-01_ses-2_T1w.nii.gz", "sub-01"),
        ("data/Sub-A1/ses-1/anat/SUB-A1_T1w.nii", "sub-a1"),
        ("subject1_T1.nii", None),
        ("nosub-1", None),
    ],
)
def test_the_subject_of_a_name_is_as_bids_has_it(name, subject):
    assert bids_subject(name) == subject
