import errno
from pathlib import Path

import pytest

from data.reading import reading
from protocol.errors import DataError

PATH = Path("scan.nii.gz")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (FileNotFoundError(errno.ENOENT, "No such file"), "there is no file scan.nii.gz"),
        (PermissionError(errno.EACCES, "Permission denied"), "may not be read by this user"),
        (IsADirectoryError(errno.EISDIR, "Is a directory"), "is a folder, expected a NIfTI file"),
        (MemoryError(), "more memory than there is"),
        (ValueError("first\nsecond"), r"or not a NIfTI file \(first\); copy or export it again"),
        (OSError("file locking flag values don't match"), "being written by another program"),
        (AttributeError(), r"\(AttributeError\)"),
    ],
)
def test_whatever_a_library_raises_is_one_sentence_that_names_the_file(error, words):
    with pytest.raises(DataError, match=words) as refusal, reading(PATH, "a NIfTI file"):
        raise error
    assert "\n" not in str(refusal.value)
    assert refusal.value.__cause__ is error


def test_a_sentence_stays_as_it_is():
    with pytest.raises(DataError, match=r"^it has two axes$"), reading(PATH, "a NIfTI file"):
        raise DataError("it has two axes")


def test_an_interrupt_is_none_of_the_files_faults():
    with pytest.raises(KeyboardInterrupt), reading(PATH, "a NIfTI file"):
        raise KeyboardInterrupt
