import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from models.blocks.xray_diffusion.tuning import score as blending_score
from models.evaluation import Case, Evaluation, Tuning
from models.registry import import_file, load_family
from protocol.errors import SettingsError
from protocol.objective import Objective
from tests.ranks import TOY, attempt, make_plan
from worker.calls.evaluation import judge, score, tuning
from worker.calls.sample_judgement import ranking
from worker.calls.show import evaluate

OBJECTIVE = {"metric": "error", "direction": "minimize"}


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    data = {"validation_samples": 6, "noise": 0.2}
    trial = make_plan(tmp_path_factory.mktemp("study"), recipe={"epochs": 1}, data=data)
    assert attempt(trial) == [0]
    return trial


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("place")


@pytest.fixture(scope="module")
def report(trial, place):
    (place / "store" / "of_an_older_checkpoint" / "t0500").mkdir(parents=True)
    return judge(
        checkpoint=str(trial.best),
        split="test",
        objective=OBJECTIVE,
        store=str(place / "store"),
        pictures=str(place / "pictures"),
        progress=str(place / "progress"),
        device="cpu",
        prefix="fold1_",
    )


def test_every_sample_gets_every_metric_and_their_means_are_the_split_s(trial, report):
    assert [case["name"] for case in report["cases"]] == [f"{index:04d}" for index in range(6)]
    for name, mean in evaluate(trial.best, "test").items():
        values = [case["scores"][name] for case in report["cases"]]
        assert np.mean(values) == pytest.approx(mean)
        assert len(set(values)) == 6
    assert json.loads(json.dumps(report)) == report


def test_the_verdict_names_its_checkpoint(trial, report):
    assert report["checkpoint"]["epoch"] == 1
    assert report["checkpoint"]["path"] == str(trial.best)
    assert len(report["checkpoint"]["sha256"]) == 64


def test_best_median_and_worst_are_drawn(report):
    order = sorted(report["cases"], key=lambda case: case["scores"]["error"])
    chosen = {"best": order[0], "median": order[3], "worst": order[5]}
    assert [Path(path).name for path in report["pictures"]] == [
        f"fold1_{rank}_{case['name']}.png" for rank, case in chosen.items()
    ]
    assert all(Path(path).stat().st_size > 1000 for path in report["pictures"])


def test_what_was_kept_of_an_older_checkpoint_goes(report, place):
    assert not list((place / "store").iterdir())


def test_how_far_it_is_can_be_read_meanwhile(report, place):
    word = (place / "progress").read_text()
    assert word.startswith(("loading", "sample", "drawing"))


def test_a_family_without_post_processing_has_nothing_to_tune(trial, tmp_path):
    places = {"store": str(tmp_path / "store"), "progress": str(tmp_path / "progress")}
    with pytest.raises(SettingsError, match="--tune_postprocessing: Toy has no post-processing"):
        tuning(checkpoint=str(trial.best), device="cpu", **places)


FILE_WITH_A_SCORER = """
def twice(tasks, candidates):
    return {"scores": [{"value": 2 * tasks[0]["by"] * point["x"]} for point in candidates]}
"""
PROPOSAL = {"tasks": [{"by": 3}], "candidates": [{"x": 5}]}


class Judged(Evaluation):
    """Has a scorer to say, and nothing else."""

    def __init__(self, scorer):
        self._scorer = scorer

    def judge(self, model, request):
        raise NotImplementedError

    def tuning(self, model, request):
        return Tuning(scorer=self._scorer, task={}, space={}, defaults={})


@pytest.fixture
def named(trial, tmp_path, monkeypatch):
    """What another process is told that a family's scorer is called."""

    def ask(scorer):
        monkeypatch.setattr(load_family(TOY), "evaluation", lambda _: Judged(scorer))
        places = {"store": str(tmp_path / "store"), "progress": str(tmp_path / "progress")}
        found = tuning(checkpoint=str(trial.best), device="cpu", **places)
        return json.loads(json.dumps(found))["scorer"]

    return ask


def test_a_scorer_of_a_module_is_found_by_its_name(named):
    name = named(blending_score)
    assert name == "models.blocks.xray_diffusion.tuning:score"
    tasks, candidates = [{"psnr": {"cosine": 20.0}}], [{"blend": "cosine"}]
    found = score(scorer=name, tasks=tasks, candidates=candidates)
    assert found["scores"][0]["value"] == 20.0


def test_a_scorer_in_a_family_s_own_file_is_found_by_another_process(named, tmp_path):
    file = tmp_path / "own.py"
    file.write_text(FILE_WITH_A_SCORER)
    name = named(import_file(file).twice)
    script = (
        f"from worker.calls.evaluation import score\nprint(score(scorer={name!r}, **{PROPOSAL}))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "{'scores': [{'value': 30}]}"


def test_a_scorer_may_be_named_by_a_package_that_does_not_import_it(named, tmp_path, monkeypatch):
    (tmp_path / "scoring_package.py").write_text(FILE_WITH_A_SCORER)
    monkeypatch.syspath_prepend(tmp_path)
    name = named("scoring_package:twice")
    assert "scoring_package" not in sys.modules
    assert score(scorer=name, **PROPOSAL) == {"scores": [{"value": 30}]}


def test_what_is_not_a_number_ranks_last():
    values = [2.0, float("nan"), 1.0, None, 3.0]
    cases = [Case(name="", group="", scores={"error": value}) for value in values]
    objective = Objective(metric="error", direction="minimize")
    assert ranking(cases, objective) == [2, 0, 4, 1, 3]
    assert ranking(cases, objective.model_copy(update={"direction": "maximize"}))[:3] == [4, 0, 2]
