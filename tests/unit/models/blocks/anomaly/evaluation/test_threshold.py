import numpy as np
import pytest

from models.blocks.anomaly.evaluation.threshold import (
    Sorted,
    best_global,
    best_mean,
    find_threshold,
    find_thresholds,
)

GOLDEN = (np.sqrt(5) - 1) / 2


def volumes(seed, count=3, overlap=0.3):
    """Anomaly maps with repeated values and zeros, and lesions that tend to be brighter."""
    generator = np.random.default_rng(seed)
    pairs = []
    for _ in range(count):
        truth = generator.random((4, 6, 7)) < 0.2
        anomaly = generator.random(truth.shape) * (1 - overlap) + overlap * truth
        anomaly = (np.round(anomaly, 2) * (generator.random(truth.shape) < 0.8)).astype(np.float32)
        pairs.append((anomaly, truth))
    return pairs


def dice(pairs, threshold):
    hits = sum(int(((a > np.float32(threshold)) & t).sum()) for a, t in pairs)
    found = sum(int((a > np.float32(threshold)).sum()) for a, _ in pairs)
    return 2 * hits / (found + sum(int(t.sum()) for _, t in pairs))


def all_thresholds(pairs):
    return np.unique(np.concatenate([[0.0], *(anomaly.ravel() for anomaly, _ in pairs)]))


@pytest.mark.parametrize("seed", range(6))
def test_the_global_threshold_is_as_good_as_an_exhaustive_search(seed):
    pairs = volumes(seed)
    best = max(dice(pairs, threshold) for threshold in all_thresholds(pairs))
    found = best_global([Sorted.of(*pair) for pair in pairs])
    assert dice(pairs, found) == best
    assert best > dice(pairs, 0.0)


@pytest.mark.parametrize("seed", range(6))
def test_the_global_threshold_is_never_worse_than_a_golden_section_search(seed):
    pairs = volumes(seed)
    low, high = 0.0, 1.3
    while high - low > 1e-4:
        inner = [high - GOLDEN * (high - low), low + GOLDEN * (high - low)]
        if dice(pairs, inner[0]) >= dice(pairs, inner[1]):
            high = inner[1]
        else:
            low = inner[0]
    assert dice(pairs, best_global([Sorted.of(*pair) for pair in pairs])) >= dice(pairs, low)


def test_values_that_differ_in_the_last_bit_are_told_apart():
    lesion = np.float32(0.5)
    healthy = np.nextafter(lesion, np.float32(0))
    anomaly, truth = np.array([[[lesion, healthy]]]), np.array([[[True, False]]])
    threshold = best_global([Sorted.of(anomaly, truth)])
    assert ((anomaly > np.float32(threshold)) == truth).all()


def test_the_threshold_lies_between_values_so_that_rounding_changes_nothing():
    anomaly = np.array([[[0.2, 0.6]]], np.float32)
    assert best_global([Sorted.of(anomaly, anomaly > 0.5)]) == pytest.approx(0.4)


def test_dice_at_a_threshold_counts_lesion_voxels_that_are_zero():
    anomaly, truth = np.array([[[0.0, 0.5, 0.9]]], np.float32), np.array([[[True, False, True]]])
    assert Sorted.of(anomaly, truth).dice(np.array([0.1, 0.7])) == pytest.approx([0.5, 2 / 3])


def test_a_value_at_the_threshold_does_not_count_as_found():
    anomaly = np.array([[[0.25, 0.5, 0.75]]], np.float32)
    found = Sorted.of(anomaly, anomaly > 0.6).dice(np.array([0.25, 0.5]))
    assert found == pytest.approx([2 / 3, 1.0])


def test_where_lesions_leave_no_residual_nothing_is_found():
    anomaly, truth = np.array([[[0.0, 0.5, 0.9]]], np.float32), np.array([[[True, False, False]]])
    threshold = best_global([Sorted.of(anomaly, truth)])
    assert not (anomaly > np.float32(threshold)).any()


def test_the_mean_rule_weighs_volumes_alike_where_the_global_one_weighs_voxels():
    """A large lesion is best told at 0.2; a small one in another volume needs 0.6."""
    large = np.full((1, 10, 10), 0.3, np.float32)
    large[0, 0, 0] = 0.1
    small = np.full((1, 10, 10), 0.5, np.float32)
    small[0, 0, 0] = 0.9
    pairs = [(large, large > 0.2), (small, small > 0.7), (small, small > 0.7)]
    sorts = [Sorted.of(*pair) for pair in pairs]
    assert best_global(sorts) < 0.5 < best_mean(sorts)
    best = max(np.mean([dice([p], t) for p in pairs]) for t in all_thresholds(pairs))
    assert np.mean([dice([p], best_mean(sorts)) for p in pairs]) == best


def test_the_percentile_rule_looks_at_healthy_values_alone():
    healthy = [np.arange(50, dtype=np.float32), np.arange(50, 101, dtype=np.float32)]
    assert find_threshold("healthy_percentile", 95.0, [], lambda: healthy) == pytest.approx(95.0)


@pytest.mark.parametrize("rule", ["global_dice", "mean_dice"])
def test_the_other_rules_do_not_ask_for_healthy_values(rule):
    def refuse():
        raise AssertionError("healthy volumes were asked for")

    sorts = [Sorted.of(*pair) for pair in volumes(0)]
    assert find_threshold(rule, 99.0, sorts, refuse) > 0


def test_a_small_set_of_lesions_has_its_own_threshold_beside_a_large_one():
    large, small = volumes(0, count=8, overlap=0.7), volumes(1, count=1, overlap=0.2)
    sets = {"large": large, "small": small}
    lesions = [(name, Sorted.of(*pair)) for name, pairs in sets.items() for pair in pairs]
    found = find_thresholds("global_dice", 99.0, lesions, list)
    for name, pairs in sets.items():
        own = [Sorted.of(*pair) for pair in pairs]
        assert found.of(name) == best_global(own)
    assert found.pooled == best_global([volume for _, volume in lesions])
    assert found.of("small") != found.pooled
    assert dice(small, found.of("small")) > dice(small, found.pooled)
    assert found.of("a set of tests alone") == found.pooled


def test_healthy_volumes_are_asked_for_once_for_all_sets():
    asked = []

    def healthy():
        asked.append(None)
        return [np.arange(100, dtype=np.float32)]

    lesions = [(name, Sorted.of(*pair)) for name in "ab" for pair in volumes(0, count=1)]
    found = find_thresholds("healthy_percentile", 50.0, lesions, healthy)
    assert found.of("a") == found.of("b") == found.pooled == 49.5
    assert len(asked) == 1
