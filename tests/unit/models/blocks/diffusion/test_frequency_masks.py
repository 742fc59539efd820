import numpy as np
import pytest
import torch
from scipy import ndimage, stats

from models.blocks.diffusion.frequency_masks import (
    FrequencyMasks,
    low_pass,
    mask_frequencies,
    patches,
)

PUBLISHED = FrequencyMasks()
INNER = FrequencyMasks(places="published")


@pytest.fixture
def images():
    return torch.rand(6, 1, 48, 40, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def brains():
    """An ellipse off the middle: rows 4–43, columns 10–34."""
    rows, columns = np.ogrid[:48, :40]
    ellipse = ((rows - 23.5) / 20) ** 2 + ((columns - 22) / 12.6) ** 2 <= 1
    return torch.from_numpy(ellipse).float().expand(6, 1, 48, 40)


def slowly_low_passed(image, v):
    """The box of 2v by 2v frequencies about the centre of the shifted spectrum, slice by slice."""
    spectrum = np.fft.fftshift(np.fft.fft2(image))
    kept = np.zeros_like(spectrum)
    row, column = (side // 2 for side in image.shape)
    place = (slice(max(0, row - v), row + v), slice(max(0, column - v), column + v))
    kept[place] = spectrum[place]
    return np.fft.ifft2(np.fft.ifftshift(kept)).real


@pytest.mark.parametrize("shape", [(48, 40), (33, 47), (20, 20)])
def test_one_transform_for_the_batch_filters_as_slice_after_slice_would(shape):
    images, bands = torch.rand(4, 1, *shape), torch.tensor([2, 5, 10, 3])
    found = low_pass(images, bands)
    for image, v, result in zip(images, bands, found, strict=True):
        expected = slowly_low_passed(image[0].numpy(), int(v))
        assert result[0].numpy() == pytest.approx(expected, abs=1e-5)


def test_only_patches_change_and_they_hold_one_band_of_the_slice(images, brains):
    images = images * brains
    seeds = torch.arange(100, 106)
    found = mask_frequencies(images, brains, seeds, PUBLISHED)
    changed = (found != images) & (brains > 0)
    where = patches(brains, seeds, PUBLISHED) & (brains > 0)
    assert (changed & ~where).sum() == 0
    assert changed.sum() > 0.95 * where.sum() > 0
    for image, result, mask in zip(images[:, 0], found[:, 0], where[:, 0], strict=True):
        if not mask.any():
            continue
        lows = [slowly_low_passed(image.numpy(), v) for v in range(2, 11)]
        candidates = [band for low in lows for band in (low, image.numpy() - low)]
        errors = [np.abs(result.numpy() - band)[mask.numpy()].max() for band in candidates]
        assert sorted(errors)[0] < 1e-5
        assert sorted(errors)[1] > 1e-3


def test_low_and_high_passes_of_all_bands_are_met_equally_often():
    step = torch.zeros(900, 1, 24, 24)
    step[..., 12:] = 1.0
    everywhere = torch.ones_like(step)
    masks = FrequencyMasks(lowest_band=2, highest_band=4, patches=40)
    seeds = torch.arange(len(step))
    found = mask_frequencies(step, everywhere, seeds, masks)
    where = patches(everywhere, seeds, masks)
    lows = [low_pass(step[:1], torch.tensor([v])) for v in (2, 3, 4)]
    candidates = torch.stack([band for low in lows for band in (low, step[:1] - low)])
    errors = ((candidates - found[None]).abs() * where).sum(dim=(2, 3, 4))
    used = where.sum(dim=(1, 2, 3)) > 100
    counts = torch.bincount(errors.argmin(dim=0)[used], minlength=6)
    assert errors.min(dim=0).values.max() < 1e-2
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3


def test_patches_are_as_many_and_as_large_as_asked_for():
    brain = torch.zeros(2000, 1, 120, 120)
    brain[:, :, 10:110, 30:80] = 1  # 100 rows, 50 columns
    seeds = torch.arange(len(brain))
    one = FrequencyMasks(patches=1)
    found = patches(brain, seeds, one)[:, 0]
    drawn = found[found.any(dim=(1, 2))]
    assert 0.45 < len(drawn) / len(brain) < 0.55  # none and one are equally likely
    heights, widths = drawn.any(dim=2).sum(dim=1), drawn.any(dim=1).sum(dim=1)
    assert sorted(heights.unique().tolist()) == list(range(9, 19))
    assert sorted(widths.unique().tolist()) == list(range(4, 10))
    assert torch.equal(drawn.sum(dim=(1, 2)), heights * widths)
    assert not drawn[:, brain[0, 0] == 0].any()
    # They reach every side of the brain.
    assert drawn.any(dim=(0, 2))[10:110].all()
    assert drawn.any(dim=(0, 1))[30:80].all()


def slowly_placed(mask, random):
    """Where the public code would put a slice's patches, one after the other."""
    found = np.zeros_like(mask)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    largest = int(len(rows) / 10 * 1.8)
    smallest = largest // 2
    for _ in range(random.integers(0, 6)):
        height, width = random.integers(smallest, largest + 1, size=2)
        row, column = (
            random.integers(of[0], of[-1] - 10 - largest + 1) + 5 for of in (rows, columns)
        )
        found[row : row + height, column : column + width] = True
    return found


@pytest.mark.long
def test_published_places_are_those_of_the_public_code():
    rows, columns = np.ogrid[:96, :96]
    mask = ((rows - 47) / 44) ** 2 + ((columns - 50) / 35) ** 2 <= 1
    random = np.random.default_rng(0)
    expected = np.mean([slowly_placed(mask, random) for _ in range(8000)], axis=0)
    brain = torch.from_numpy(mask).float().expand(8000, 1, 96, 96)
    found = patches(brain, torch.arange(8000), INNER)[:, 0].float().mean(dim=0).numpy()
    assert found == pytest.approx(expected, abs=0.025)  # four deviations of such a mean
    assert np.array_equal(found.any(axis=1), expected.any(axis=1))
    assert np.array_equal(found.any(axis=0), expected.any(axis=0))
    anywhere = patches(brain, torch.arange(8000), PUBLISHED)[:, 0].float().mean(dim=0).numpy()
    assert found[mask].mean() == pytest.approx(1.4 * anywhere[mask].mean(), rel=0.05)


def test_published_sides_are_those_of_the_public_code_for_every_number_of_rows():
    one, seeds = FrequencyMasks(places="published", patches=1), torch.arange(200)
    for count in range(1, 193):
        brain = torch.zeros(200, 1, 200, 16)
        brain[:, :, :count] = 1
        sides = patches(brain, seeds, one)[:, 0].any(dim=2).sum(dim=1)
        assert sides.max() == int(count / 10 * 1.8)


def test_a_brain_too_small_for_published_patches_is_left_within_its_mask(images):
    tiny = torch.zeros_like(images)
    tiny[:, :, 20:24, 20:24] = 1
    found = mask_frequencies(images * tiny, tiny, torch.arange(len(images)), INNER)
    assert torch.equal(found * (1 - tiny), torch.zeros_like(found))


def test_between_none_and_five_patches_are_used():
    brain = torch.ones(400, 1, 200, 200)
    small = FrequencyMasks(smallest_side=0.005, largest_side=0.005)
    found = patches(brain, torch.arange(400), small)[:, 0].numpy()
    numbers = {ndimage.label(image)[1] for image in found}
    assert numbers == {0, 1, 2, 3, 4, 5}


def test_a_slice_without_brain_is_left_as_it_is(images):
    empty = torch.zeros_like(images)
    seeds = torch.arange(len(images))
    assert torch.equal(mask_frequencies(images, empty, seeds, PUBLISHED), images)


def test_no_patches_leave_the_slice_as_it_is(images, brains):
    none = FrequencyMasks(patches=0)
    assert torch.equal(mask_frequencies(images, brains, torch.arange(6), none), images)


def test_a_samples_masks_do_not_depend_on_its_neighbours(images, brains):
    seeds = torch.tensor([4, 8, 15, 16, 23, 42])
    together = mask_frequencies(images, brains, seeds, PUBLISHED)
    for index in range(6):
        one = slice(index, index + 1)
        alone = mask_frequencies(images[one], brains[one], seeds[one], PUBLISHED)
        torch.testing.assert_close(alone, together[one])
