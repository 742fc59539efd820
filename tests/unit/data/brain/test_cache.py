import logging
import multiprocessing
import os
import time

import numpy as np
import pytest
import torch

from data.brain.cache import BrainCache
from data.brain.lists import healthy_cases
from protocol.errors import DataError


@pytest.fixture
def cases(brains):
    return healthy_cases(brains, "train", 0, "t2")


@pytest.fixture
def count(monkeypatch):
    """The subjects that are preprocessed, in order."""
    from data.brain import preprocess as module

    real, done = module.preprocess, []

    def preprocess(case, settings):
        done.append(case.subject)
        return real(case, settings)

    monkeypatch.setattr(module, "preprocess", preprocess)
    return done


def files(brains):
    return sorted((brains / ".cache").glob("*.npy"))


def test_volumes_are_made_once_for_all_who_ask(brain_settings, brains, cases, count):
    BrainCache(brain_settings()).prepare(cases)
    assert count == [case.subject for case in cases]
    for settings in (brain_settings(), brain_settings(fold=1), brain_settings(smallest_brain=0.1)):
        cache = BrainCache(settings)
        cache.prepare(cases)
        assert cache.volume(cases[0]).records.shape == (8, 16, 16)
    assert len(count) == len(cases) == len(files(brains))
    assert not list((brains / ".cache").glob("*.lock"))


@pytest.mark.parametrize(
    "change", [{"size": (8, 16, 8)}, {"crop": (30, 32, 16)}, {"percentiles": (2, 98)}]
)
def test_other_settings_make_other_volumes(brain_settings, cases, count, change):
    plain = BrainCache(brain_settings()).volume(cases[0]).records
    other = BrainCache(brain_settings(**change)).volume(cases[0]).records
    assert count == [cases[0].subject] * 2
    assert plain.shape != other.shape or not np.array_equal(plain["image"], other["image"])


@pytest.mark.parametrize("which", ["image", "mask"])
def test_a_changed_source_file_is_read_anew(brain_settings, cases, count, which):
    BrainCache(brain_settings()).volume(cases[0])
    status = getattr(cases[0], which).stat()
    os.utime(getattr(cases[0], which), ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000))
    BrainCache(brain_settings()).volume(cases[0])
    assert len(count) == 2


@pytest.mark.parametrize("how", ["flipped", "cut", "no note"])
def test_a_damaged_volume_is_made_anew_and_said_so(
    brain_settings, brains, cases, count, caplog, how
):
    whole = np.array(BrainCache(brain_settings()).volume(cases[0]).records)
    (path,) = files(brains)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    if how == "no note":
        path.with_suffix(".json").unlink()
    else:
        path.write_bytes(content if how == "flipped" else content[:-100])
    with caplog.at_level(logging.WARNING):
        again = BrainCache(brain_settings()).volume(cases[0]).records
    assert np.array_equal(again, whole)
    assert len(count) == 2
    assert ("damaged" in caplog.text) == (how != "no note")


def test_processes_that_begin_together_share_the_work(brain_settings, brains, cases):
    context = multiprocessing.get_context("fork")
    settings, queue, barrier = brain_settings(), context.Queue(), context.Barrier(3)

    def work():
        from data.brain import preprocess as module

        real = module.preprocess

        def preprocess(case, chosen):
            queue.put(case.subject)
            time.sleep(0.1)  # so that they meet
            return real(case, chosen)

        module.preprocess = preprocess
        torch.set_num_threads(1)  # as in a loader's process: OpenMP's threads do not survive a fork
        barrier.wait(20)
        cache = BrainCache(settings)
        cache.prepare(cases)
        assert all(cache.volume(case).records["mask"].any() for case in cases)

    processes = [context.Process(target=work, daemon=True) for _ in range(3)]
    for process in processes:
        process.start()
    made = sorted(queue.get(timeout=60) for _ in cases)
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert made == sorted(case.subject for case in cases)
    assert queue.empty()


def test_what_was_used_longest_ago_makes_room(brain_settings, brains, cases, count):
    each = 16 * 16 * 8 * 6
    BrainCache(brain_settings()).prepare(cases)
    for age, path in enumerate(files(brains)):
        os.utime(path, (1e9 - age, 1e9 - age))
    oldest = files(brains)[-1]
    # Room for three and the files' own headers; a fourth is wanted.
    limit = (3.5 * each + 2000) / 1e9
    BrainCache(brain_settings(percentiles=(5, 95), cache_gb=limit)).prepare(cases[:1])
    left = files(brains)
    assert len(left) == 3
    assert oldest not in left
    assert not oldest.with_suffix(".json").exists()


def test_a_cache_too_small_for_one_split_is_refused_with_the_size_it_needs(brain_settings, cases):
    with pytest.raises(DataError, match=r"data\.cache_gb: found 1e-05, but the 3 volumes .* need"):
        BrainCache(brain_settings(cache_gb=1e-5)).prepare(cases)


def test_a_folder_of_ones_own_is_used(brain_settings, brains, cases, tmp_path):
    BrainCache(brain_settings(cache_folder=tmp_path / "mine")).prepare(cases)
    assert len(list((tmp_path / "mine").glob("*.npy"))) == len(cases)
    assert not (brains / ".cache").exists()


def test_data_that_may_only_be_read_is_cached_in_the_users_folder(
    brain_settings, brains, cases, count, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    (brains / ".cache").touch()  # a file in the folder's place cannot be written into
    BrainCache(brain_settings()).prepare(cases)
    assert len(list((tmp_path / "user" / "tomostudy").glob("*.npy"))) == len(cases)
    (brains / ".cache").unlink()
    BrainCache(brain_settings()).prepare(cases)
    assert len(count) == len(cases)  # found there again


def test_a_cache_that_cannot_be_written_is_one_sentence(brain_settings, cases, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"file cannot be written to, .*data\.cache_folder"):
        BrainCache(brain_settings(cache_folder=tmp_path / "file")).prepare(cases)


def test_a_file_that_a_list_names_and_is_not_there_is_named_before_any_work(
    brain_settings, cases, count
):
    cases[-1].image.unlink()
    with pytest.raises(DataError, match=rf"there is no file {cases[-1].image}"):
        BrainCache(brain_settings()).prepare(cases)
    assert count == []


def test_volumes_kept_before_there_was_smoothing_are_those_without_it(brain_settings):
    known = brain_settings()
    (case, *_) = healthy_cases(known.root, "train", known.fold, known.mode)
    without = BrainCache(known)._name(case)
    assert BrainCache(brain_settings(curvature_flow=0))._name(case) == without
    assert BrainCache(brain_settings(curvature_flow=3))._name(case) != without
    assert BrainCache(brain_settings(augment="intensity"))._name(case) == without
