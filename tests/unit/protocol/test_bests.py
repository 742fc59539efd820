"""Which best weights remain when the ranks ran on after a decision to prune."""

import os
import time

import pytest

from protocol.bests import PATIENCE, cut_best, forget_superseded, set_aside
from protocol.folders import RunFolder


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path)


def improve(folder, *epochs):
    """Each of these epochs is the best so far, and told."""
    earlier = 0
    for epoch in epochs:
        if earlier:
            set_aside(folder, earlier)
        fresh = folder.path / "fresh"
        fresh.write_text(f"epoch {epoch}")
        fresh.replace(folder.best)
        earlier = epoch


@pytest.mark.parametrize(
    ("last", "right"), [(1, 1), (2, 1), (3, 3), (4, 4), (5, 4), (6, 6), (9, 6)]
)
def test_the_best_epoch_up_to_the_decision_remains_however_often_it_is_cut(folder, last, right):
    improve(folder, 1, 3, 4, 6)
    for _ in range(2):
        cut_best(folder, [1, 3, 4, 6], last)
        assert folder.best.read_text() == f"epoch {right}"
    forget_superseded(folder)
    assert [path.name for path in folder.path.iterdir()] == ["best.pth"]


def test_a_best_whose_event_a_kill_swallowed_gives_way_as_well(folder):
    improve(folder, 1, 3)
    cut_best(folder, [1], 2)
    assert folder.best.read_text() == "epoch 1"


def test_a_best_that_is_written_again_after_a_kill_does_not_pass_for_the_one_before(folder):
    improve(folder, 1, 3)
    set_aside(folder, 1)  # `best.pth` is that of epoch 3 already
    cut_best(folder, [1, 3], 2)
    assert folder.best.read_text() == "epoch 1"


def test_what_no_decision_can_ask_for_any_more_is_removed_but_the_latest_stays(folder):
    improve(folder, 1, 2)
    old = time.time() - PATIENCE - 1
    os.utime(folder.superseded(1), (old, old))
    set_aside(folder, 2)
    assert not folder.superseded(1).exists()
    assert folder.superseded(2).exists()


def test_a_best_that_cannot_be_put_right_is_missing_rather_than_wrong(folder):
    improve(folder, 1, 3)
    folder.superseded(1).unlink()
    cut_best(folder, [1, 3], 2)
    assert not folder.best.exists()
    cut_best(folder, [], 2)  # a trial that never validated


def test_without_hard_links_the_best_is_cut_all_the_same(folder, monkeypatch):
    def refuse(*_):
        raise PermissionError("this file system has no links")

    monkeypatch.setattr(os, "link", refuse)
    improve(folder, 1, 3)
    cut_best(folder, [1, 3], 2)
    assert folder.best.read_text() == "epoch 1"
