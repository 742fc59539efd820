import multiprocessing

import pytest
import torch

from worker.ranks.trial import limit_threads


@pytest.mark.parametrize("threads", [1, 2])
def test_a_rank_keeps_to_its_threads_also_where_its_family_brings_numba(threads):
    """In a process of its own: numba speaks up once, and then for all that share OpenMP."""
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()

    def limited():
        import numba

        limit_threads(threads)
        most = numba.config.NUMBA_NUM_THREADS
        answers.put((torch.get_num_threads(), numba.get_num_threads(), most))

    child = context.Process(target=limited)
    child.start()
    child.join(60)
    of_torch, of_numba, most = answers.get()
    assert of_torch == threads
    assert of_numba == min(threads, most)
