"""The two lines of a training script, on the script's side of the wire."""

from __future__ import annotations

import ast
import json
import math
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import distributed

from tests.ranks import talk_together
from tests.unit.integrations.heard import Heard
from tomostudy_report import in_study, report, should_stop

FILE = Path(sys.modules["tomostudy_report"].__file__)
# Added in 3.9 or later.
YOUNGER = {"graphlib", "zoneinfo", "tomllib"}


def test_a_report_is_one_line_of_json_behind_the_others(study):
    study.reports.write_text("the line of an earlier attempt\n")
    before = time.time()
    assert report(3, val_psnr=31.2) is False
    assert report(epoch=4, **{"val/ssim": 1}) is False
    earlier, *lines = study.reports.read_text().splitlines()
    assert earlier == "the line of an earlier attempt"
    third, fourth = map(json.loads, lines)
    assert before <= third.pop("time") <= time.time()
    assert third == {"epoch": 3, "metrics": {"val_psnr": 31.2}}
    assert (fourth["epoch"], fourth["metrics"]) == (4, {"val/ssim": 1.0})


def test_numbers_of_all_kinds_arrive_as_they_are(study):
    report(
        np.int64(0),
        python=1,
        numpy=np.float32(0.5),
        array=np.array(0.25),
        torch=torch.tensor(2.5, requires_grad=True),
        half=torch.tensor(0.5, dtype=torch.bfloat16),
        nan=torch.tensor(math.nan),
        high=math.inf,
        low=-np.inf,
    )
    (line,) = study.lines()
    assert line["epoch"] == 0
    assert line["metrics"] == {
        "python": 1.0,
        "numpy": 0.5,
        "array": 0.25,
        "torch": 2.5,
        "half": 0.5,
        "nan": "NaN",
        "high": "Infinity",
        "low": "-Infinity",
    }
    assert "NaN," not in study.reports.read_text().replace('"NaN",', ""), "JSON has no bare NaN"


@pytest.mark.parametrize("what", ["31.2", None, torch.ones(2), [1.0], 1j, np.ones((2, 2))], ids=str)
def test_what_is_no_number_is_refused_by_its_name_in_a_study_or_not(what, study, monkeypatch):
    with pytest.raises(TypeError, match=r"^report: val_psnr is .*; expected one number"):
        report(1, val_psnr=what)
    assert not study.reports.exists()
    monkeypatch.delenv("TOMOSTUDY_REPORT")
    with pytest.raises(TypeError, match="val_psnr"):
        report(1, val_psnr=what)


@pytest.mark.parametrize("epoch", [0.5, "3", None], ids=str)
def test_an_epoch_is_a_whole_number(epoch, study):
    with pytest.raises(TypeError, match=r"^report: epoch is .*; expected a whole number"):
        report(epoch, val_psnr=1.0)


def test_it_says_stop_once_the_file_is_there(study):
    assert (report(1, x=1.0), should_stop()) == (False, False)
    study.stop.touch()
    assert (report(2, x=1.0), should_stop()) == (True, True)
    assert study.epochs() == [1, 2], "also what came to an end is reported"


def test_another_rank_writes_nothing_and_is_told_to_stop_all_the_same(study, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    assert report(1, x=1.0) is False
    study.stop.touch()
    assert report(2, x=1.0) is True
    assert not study.reports.exists()


def test_outside_a_study_nothing_happens(no_study):
    assert (report(1, x=1.0), should_stop(), in_study()) == (False, False, False)
    assert list(no_study.iterdir()) == []


def test_a_report_that_cannot_be_written_is_not_passed_over(study, monkeypatch):
    monkeypatch.setenv("TOMOSTUDY_REPORT", str(study.reports.parent / "gone" / "reports.jsonl"))
    with pytest.raises(FileNotFoundError):
        report(1, x=1.0)


def test_the_file_is_python_3_8_and_needs_nothing_else():
    source = FILE.read_text()
    tree = ast.parse(source, feature_version=(3, 8))
    imported = {
        name.name if isinstance(node, ast.Import) else node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in node.names
    }
    assert {name.partition(".")[0] for name in imported} <= sys.stdlib_module_names - YOUNGER
    # What 3.8 would refuse as it runs.
    for node in ast.walk(tree):
        for annotation in annotations_of(node):
            assert not isinstance(annotation, ast.BinOp), ast.unparse(annotation)
            name = annotation.value if isinstance(annotation, ast.Subscript) else annotation
            assert ast.unparse(name) not in {"dict", "list", "tuple", "set", "type"}


def annotations_of(node):
    match node:
        case ast.FunctionDef(returns=returns):
            return [returns]
        case ast.arg(annotation=annotation):
            return [annotation]
        case ast.AnnAssign(annotation=annotation):
            return [annotation]
    return []


def report_together(rendezvous, rank, answers):
    """100 epochs, but the file that says stop comes in the third, between the two looks for it."""
    heard = Heard.beside(rendezvous)
    os.environ.pop("RANK", None)
    os.environ |= heard.environment
    store = distributed.FileStore(str(rendezvous), 2)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    for epoch in range(100):
        distributed.barrier()
        if rank == 1:
            time.sleep(0.05)
        stop = report(epoch, x=1.0)
        if epoch == 2 and rank == 0:
            heard.stop.touch()
        if stop:
            break
    answers.put((rank, epoch))


def test_ranks_that_look_at_different_moments_leave_in_the_same_epoch(tmp_path):
    left = talk_together(report_together, tmp_path / "rendezvous", ranks=2)
    assert left == {0: 3, 1: 3}
    # By rank 0, which nothing but torch.distributed has told that it is.
    assert Heard.beside(tmp_path / "rendezvous").epochs() == [0, 1, 2, 3]
