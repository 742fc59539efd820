from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from data.brain.dataset import BrainVolumes
from models.blocks.anomaly.evaluation import evaluation
from models.blocks.anomaly.evaluation.detector import floor_residual
from models.blocks.anomaly.evaluation.postprocess import eroded
from models.blocks.anomaly.evaluation.scores import average_precision
from models.evaluation import Request
from protocol.errors import DataError


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


def judged(family, store, split="test", **parameters):
    model = family.build_model().eval()
    return family.evaluation().judge(
        model, Request(split=split, store=store, parameters=parameters)
    )


def lesions(judgement):
    return [case for case in judgement.cases if "dice" in case.scores]


@pytest.fixture
def replaced_volumes(monkeypatch):
    """Lets a test change the volumes that the evaluation sees."""

    def replace(change):
        monkeypatch.setattr(
            evaluation,
            "BrainVolumes",
            lambda data, split, kind: change(split, kind, list(BrainVolumes(data, split, kind))),
        )

    return replace


def test_lesion_volumes_get_dice_and_precision_and_healthy_ones_the_error(toy, store):
    judgement = judged(toy(), store)
    assert [case.group for case in judgement.cases] == ["Synthetic"] * 3 + ["IXI"] * 2
    for case in lesions(judgement):
        assert 0 <= case.scores["dice"] <= 1
        assert 0 < case.scores["auprc"] < 1
        assert case.scores["lesion_ml"] > 0
    for case in judgement.cases[3:]:
        assert case.scores.keys() == {"l1", "l1_brain"}
        assert 0 < case.scores["l1"] < case.scores["l1_brain"] < 1


def test_the_published_protocol_is_the_default(toy, store):
    settings = judged(toy(), store).settings
    assert settings["median_size"] == 5
    assert settings["erosion"] == 1  # 32 // 25
    assert settings["largest_dropped"] == 7
    assert settings["rule"] == "global_dice"
    assert settings["timesteps"] == [200]
    assert settings["threshold_volumes"] == 3


def test_the_threshold_comes_from_validation_alone(toy, store, replaced_volumes):
    before = judged(toy(), store).settings
    replaced_volumes(lambda split, kind, found: found[:1] if split == "test" else found)
    assert judged(toy(), store).settings == before
    replaced_volumes(lambda split, kind, found: found[:1] if split == "validation" else found)
    assert judged(toy(), store).settings["threshold"] != before["threshold"]


def test_a_perfect_map_scores_one(toy, store, monkeypatch):
    """The residual is replaced by the truth: what remains is the protocol's own loss."""
    monkeypatch.setattr(
        evaluation._Judge, "_residual", lambda self, volume: volume.segmentation.astype(np.float32)
    )
    plain = {"erosion": 0, "median_size": 1, "largest_dropped": 0}
    for case in lesions(judged(toy(), store, **plain)):
        assert case.scores["dice"] == 1.0
        assert case.scores["auprc"] == 1.0
        assert case.scores["found_ml"] == case.scores["lesion_ml"]


def test_each_set_of_lesions_has_a_threshold_of_its_own_volumes(toy, store, replaced_volumes):
    def renamed(split, kind, found):
        if kind == "lesion":
            found[0] = replace(found[0], dataset="Other")
        return found

    replaced_volumes(renamed)
    judgement = judged(toy(), store)
    own = judgement.settings["thresholds"]
    assert own.keys() == {"Other", "Synthetic"}
    assert len({*own.values(), judgement.settings["threshold"]}) > 1
    replaced_volumes(
        lambda split, kind, found: renamed(split, kind, found)[: 3 if split == "test" else 1]
    )
    alone = judged(toy(), store)
    assert alone.settings["thresholds"] == {"Other": own["Other"]}
    assert alone.cases[0].scores["dice"] == judgement.cases[0].scores["dice"]
    assert any("Synthetic has no validation volumes" in note for note in alone.notes)


def test_lesion_volumes_get_the_published_scores_beside_dice(toy, store):
    for case in lesions(judged(toy(), store)):
        for name in ("dice_pooled", "precision", "recall", "roc_auc", "slice_dice", "slice_auprc"):
            assert 0 <= case.scores[name] <= 1, name
            assert f"floor_{name}" in case.scores
        assert case.scores["hausdorff_mm"] is None or case.scores["hausdorff_mm"] >= 0
        assert case.scores["dice_pooled"] == case.scores["dice"]  # of one set


def test_the_floor_is_scored_by_the_same_protocol_with_its_own_threshold(toy, store):
    judgement = judged(toy(), store)
    volume = BrainVolumes(toy().data, "test", "lesion")[0]
    inside = eroded(volume.mask, 1)
    smooth = ndimage.median_filter(volume.image * volume.mask, size=5)
    residual = np.abs(volume.image - smooth)
    expected = ndimage.median_filter(residual * inside, size=5)
    assert np.allclose(floor_residual(volume), residual)
    case = judgement.cases[0]
    assert case.scores["floor_auprc"] == pytest.approx(
        average_precision(expected, volume.segmentation)
    )
    assert judgement.settings["floor_threshold"] != judgement.settings["threshold"]
    assert case.scores["floor_dice"] != case.scores["dice"]


def test_the_mean_of_several_time_steps_is_the_mean_reconstruction(toy, store):
    alone = [judged(toy(), store, timesteps=[step]).cases[3].scores["l1"] for step in (200, 600)]
    together = judged(toy(), store, timesteps=[200, 600]).cases[3].scores["l1"]
    assert together not in alone
    assert together <= np.mean(alone) + 1e-7  # the triangle inequality


def test_without_lesions_to_validate_on_one_sentence_says_so(toy, store, replaced_volumes):
    replaced_volumes(lambda split, kind, found: [] if kind == "lesion" else found)
    with pytest.raises(DataError, match=r"found no validation volumes with lesions.*Brats21_val"):
        judged(toy(), store)


def test_without_lesions_to_test_on_one_sentence_says_so(toy, store, replaced_volumes):
    replaced_volumes(
        lambda split, kind, found: [] if (split, kind) == ("test", "lesion") else found
    )
    with pytest.raises(DataError, match=r"found no test volumes with lesions.*Brats21_test"):
        judged(toy(), store)


def test_a_listed_volume_without_lesion_has_dice_but_no_precision(toy, store, replaced_volumes):
    def emptied(split, kind, found):
        if (split, kind) == ("test", "lesion"):
            found[0] = replace(found[0], segmentation=np.zeros_like(found[0].segmentation))
        return found

    replaced_volumes(emptied)
    judgement = judged(toy(), store)
    assert judgement.cases[0].scores["auprc"] is None
    assert judgement.cases[0].scores["dice"] in (0.0, 1.0)
    assert any(judgement.cases[0].name in note for note in judgement.notes)


def test_best_median_and_worst_by_dice_are_pictured(toy, store):
    judgement = judged(toy(), store)
    order = sorted(lesions(judgement), key=lambda case: -case.scores["dice"])
    ranks = ("best", "median", "worst")
    expected = [f"{rank}_{case.name}" for rank, case in zip(ranks, order, strict=True)]
    assert [stem for stem, _ in judgement.pictures] == expected
    assert f"Dice {order[0].scores['dice']:.3f}" in judgement.pictures[0][1].title


def test_scores_on_the_threshold_s_own_volumes_are_marked(toy, store):
    assert not judged(toy(), store).notes
    assert "optimistic" in judged(toy(), store, split="validation").notes[0]


def test_a_diverged_model_is_told_in_one_sentence(toy, tmp_path):
    with pytest.raises(DataError, match="has diverged"):
        judged(toy(broken=True), tmp_path)
