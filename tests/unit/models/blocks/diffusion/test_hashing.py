import pytest
import torch
from scipy import stats

from models.blocks.diffusion.hashing import derived, hashed, integers, normals, uniforms

SEEDS = torch.arange(400)
MASK = 2**64 - 1


def splitmix(key):
    """One output of the published SplitMix64, from its state before the step."""
    key = (key + 0x9E3779B97F4A7C15) & MASK
    key = ((key ^ (key >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    key = ((key ^ (key >> 27)) * 0x94D049BB133111EB) & MASK
    return key ^ (key >> 31)


@pytest.mark.parametrize("seed", [0, 1, 2**62 + 12345])
@pytest.mark.parametrize("stream", [1, 305])
def test_the_bits_are_those_of_splitmix(seed, stream):
    found = [bits & MASK for bits in hashed(torch.tensor([seed]), stream, 3)[0].tolist()]
    state = splitmix((splitmix(seed) + stream) & MASK)
    step = 0x9E3779B97F4A7C15
    assert found == [splitmix((state + counter * step) & MASK) for counter in range(3)]


def test_a_samples_numbers_do_not_depend_on_its_neighbours():
    together = uniforms(SEEDS, 1, 7)
    assert torch.equal(together[[17]], uniforms(SEEDS[[17]], 1, 7))


@pytest.mark.parametrize(("draw", "law"), [(uniforms, "uniform"), (normals, "norm")])
@pytest.mark.parametrize("axis", [0, 1])
def test_numbers_follow_their_law_along_seeds_and_along_counters(draw, law, axis):
    numbers = draw(SEEDS, 5, 400)
    first = numbers.select(1 - axis, 0)
    assert stats.kstest(numbers.flatten().numpy(), law).pvalue > 1e-3
    assert stats.kstest(first.numpy(), law).pvalue > 1e-3


@pytest.mark.parametrize("draw", [uniforms, normals])
def test_neighbouring_seeds_counters_and_streams_are_independent(draw):
    numbers = draw(SEEDS, 5, 400)
    others = {
        "seed": numbers.roll(1, dims=0),
        "counter": numbers.roll(1, dims=1),
        "stream": draw(SEEDS, 6, 400),
        "derived": draw(derived(SEEDS, 1), 5, 400),
    }
    for name, other in others.items():
        both = torch.stack([numbers.flatten(), other.flatten()])
        assert abs(float(torch.corrcoef(both)[0, 1])) < 4 / 400, name


def test_whole_numbers_are_even_and_in_range():
    found = integers(SEEDS, 9, 500, below=7)
    counts = torch.bincount(found.flatten(), minlength=7)
    assert len(counts) == 7
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3


def test_normals_are_finite_for_many_seeds():
    assert normals(torch.arange(1000), 1, 1000).isfinite().all()
