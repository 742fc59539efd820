"""Why a command failed is read in what it printed."""

import pytest

from protocol.messages import Fault
from worker.scripts.words import last_words

TRACE = """epoch 1
[rank1]: Traceback (most recent call last):
[rank1]:   File "train.py", line 9, in main
[rank1]:     step()
[rank1]: {}
[rank1]:W1128 a warning behind it
"""


def said(tmp_path, text, since=0):
    (tmp_path / "log").write_text(text)
    return last_words(tmp_path / "log", since)


@pytest.mark.parametrize(
    ("line", "error", "fault"),
    [
        ("ValueError: shapes do not fit", "ValueError", Fault.DEFECT),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried", "OutOfMemoryError", Fault.MEMORY),
        ("RuntimeError: CUDA out of memory. Tried to allocate", "RuntimeError", Fault.MEMORY),
        ("RuntimeError: [enforce fail] DefaultCPUAllocator: can't allocate memory", "", "memory"),
        ("MemoryError", "MemoryError", Fault.MEMORY),
        ("jaxlib.XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory", "", Fault.MEMORY),
        ("OSError: [Errno 28] No space left on device", "OSError", Fault.DISK),
        ("RuntimeError: [gloo/transport/tcp/pair.cc:1] Connection closed by peer", "", Fault.PEER),
        ("torch.distributed.DistBackendError: NCCL error", "DistBackendError", Fault.PEER),
        ("RuntimeError: CUDA error: uncorrectable ECC error encountered", "", Fault.DEVICE),
    ],
)
def test_the_exception_says_what_it_was(tmp_path, line, error, fault):
    found = said(tmp_path, TRACE.format(line))
    assert found.fault == fault
    if error:
        assert found.error == error
    assert found.text.endswith(line)
    assert found.text.startswith("Traceback")


def test_without_a_traceback_the_last_line_is_told(tmp_path):
    found = said(tmp_path, "hello\nusage: train.py\ntrain.py: error: no such option: --lr\n")
    assert (found.error, found.message) == ("Exit", "train.py: error: no such option: --lr")
    assert found.text.startswith("hello")


def test_what_an_earlier_attempt_printed_does_not_count(tmp_path):
    before = "MemoryError\n"
    assert said(tmp_path, before + "segmentation\n", since=len(before)).fault is Fault.DEFECT
    assert said(tmp_path, before, since=len(before)).message == "it printed nothing"


def test_the_last_of_several_tracebacks_counts_and_a_long_log_is_not_read_whole(tmp_path):
    text = "x" * 200_000 + "\n" + TRACE.format("KeyError: 'a'") + TRACE.format("IndexError: 3")
    assert said(tmp_path, text).error == "IndexError"
