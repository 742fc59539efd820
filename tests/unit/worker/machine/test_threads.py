import multiprocessing
import os
import subprocess
import sys

import pytest
import torch

from worker.machine import threads
from worker.machine.threads import limit_threads

# Milliseconds of the processor that ten short loops of two threads take, with pauses in which the
# second thread waits for the next, spinning or asleep. `wants` is whether others want the cores.
PROGRAM = """
import time
import torch
from worker.machine import threads

torch.set_num_threads(2)
image = torch.zeros(2**18)
wants, told = False, 0

def waited():
    global told
    told += wants * 10**9
    return told

def used():
    begun = time.process_time()
    for _ in range(10):
        image.add_(1)
        time.sleep(0.03)
    return 1000 * (time.process_time() - begun)

threads._waited = waited
threads.LOOK_SECONDS = 0.05
threads.give_way({argument})
for wants in (False, True, False):
    time.sleep(0.3)
    print(used())
"""


def used(argument: str = "", **words: str) -> list[float]:
    """What the program prints, whose environment says this about the waiting."""
    environment = {name: word for name, word in os.environ.items() if name not in threads.WORDS}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(argument=argument)],
        env=environment | words,
        capture_output=True,
        text=True,
        check=True,
    )
    return [float(word) for word in done.stdout.split()]


def test_threads_spin_long_alone_and_shortly_while_others_want_the_cores():
    alone, crowded, alone_again = used()
    assert crowded < alone / 4
    assert crowded < alone_again / 4


def test_a_process_that_may_take_no_memory_later_gives_way_from_the_first():
    first, crowded, alone = used("always=True")
    assert max(first, alone) < 4 * crowded + 20


def test_a_person_s_own_word_on_the_waiting_is_left_at_that():
    alone, crowded, _ = used(GOMP_SPINCOUNT="400000")
    assert crowded > alone / 4


def test_without_room_for_more_threads_everything_goes_on_as_it_was(monkeypatch):
    def refused(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threads.threading.Thread, "start", refused)
    sleepers = threads._Sleepers(None, 2)
    sleepers.begin()
    sleepers.end()


@pytest.mark.parametrize("count", [1, 2])
def test_a_rank_keeps_to_its_threads_also_where_its_family_brings_numba(count):
    """In a process of its own: numba speaks up once, and then for all that share OpenMP."""
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()

    def limited():
        import numba

        limit_threads(count)
        most = numba.config.NUMBA_NUM_THREADS
        answers.put((torch.get_num_threads(), numba.get_num_threads(), most))

    child = context.Process(target=limited)
    child.start()
    child.join(60)
    of_torch, of_numba, most = answers.get()
    assert of_torch == count
    assert of_numba == min(count, most)
