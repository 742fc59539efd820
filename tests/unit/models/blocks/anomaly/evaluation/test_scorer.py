import json
from pathlib import Path

import numpy as np
import pytest

from models.blocks.anomaly.evaluation import scorer
from models.blocks.anomaly.evaluation.scorer import Residuals, score
from models.evaluation import Request

PROPOSALS = [
    {},
    {"timesteps": "600", "median_size": 3},
    {"timesteps": "200-600", "erosion": 0, "largest_dropped": 30},
    {"rule": "mean_dice", "erosion": 2},
    {"rule": "healthy_percentile", "percentile": 97.5, "largest_dropped": 2},
]


@pytest.fixture(scope="module")
def laid_out(toy, tmp_path_factory):
    """The toy's tuning, as JSON would carry it to another process."""
    store = tmp_path_factory.mktemp("store")
    family = toy()
    model = family.build_model().eval()
    request = Request(split="validation", store=store)
    tuning = family.evaluation().tuning(model, request)
    return family, model, store, json.loads(json.dumps(dict(tuning.task)))


def test_a_proposal_scores_what_the_whole_evaluation_comes_to(laid_out):
    family, model, store, task = laid_out
    for proposal, found in zip(PROPOSALS, score([task], PROPOSALS)["scores"], strict=True):
        request = Request(split="validation", store=store, parameters=proposal)
        judgement = family.evaluation().judge(model, request)
        dice = [case.scores["dice"] for case in judgement.cases if "dice" in case.scores]
        assert found["value"] == pytest.approx(np.mean(dice))
        assert found["thresholds"] == [judgement.settings["thresholds"]]


def test_proposals_differ_in_what_they_score(laid_out):
    values = [found["value"] for found in score([laid_out[3]], PROPOSALS)["scores"]]
    assert len({round(value, 6) for value in values}) >= 4


def test_what_was_computed_once_is_not_computed_again(laid_out, monkeypatch):
    _, _, _, task = laid_out
    before = score([task], PROPOSALS)

    def refuse(*_):
        raise AssertionError("computed again")

    monkeypatch.setattr(scorer, "filtered_residual", refuse)
    monkeypatch.setattr(scorer, "find_thresholds", refuse)
    other_limits = [{**proposal, "largest_dropped": 50} for proposal in PROPOSALS]
    assert score([task], PROPOSALS) == before
    assert score([task], other_limits) != before


def test_other_lesions_on_the_same_image_are_not_mistaken_for_the_first(laid_out):
    _, _, store, task = laid_out
    before = score([task], [{}])
    path = Path(store) / "truth" / f"{task['lesions'][0]}.npy"
    truth = np.load(path)
    np.save(path, np.roll(truth, 5, axis=2))
    try:
        assert score([task], [{}]) != before
    finally:
        np.save(path, truth)
    assert score([task], [{}]) == before


def test_folds_count_alike_and_keep_their_thresholds(laid_out):
    _, _, _, task = laid_out
    other = {**task, "lesions": task["lesions"][:1], "sets": task["sets"][:1]}
    alone = [score([one], [{}])["scores"][0] for one in (task, other)]
    (together,) = score([task, other], [{}])["scores"]
    assert together["value"] == pytest.approx(np.mean([one["value"] for one in alone]))
    assert together["thresholds"] == [one["thresholds"][0] for one in alone]


def test_filtered_residuals_beyond_the_limit_go_and_can_be_made_again(laid_out):
    _, _, store, task = laid_out
    score([task], PROPOSALS)
    files = list(store.glob("filtered/*/*.npy"))
    limit = 4 * files[0].stat().st_size
    Residuals(task).trim(limit)
    left = list(store.glob("filtered/*/*.npy"))
    assert len(files) > len(left) == 4
    proposal = {"timesteps": "200-600", "erosion": 0, "rule": "mean_dice"}
    assert 0 <= score([task], [proposal])["scores"][0]["value"] <= 1
