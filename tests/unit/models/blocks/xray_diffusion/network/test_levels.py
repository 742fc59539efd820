import torch

from models.blocks.xray_diffusion.network.levels import DownLevel, LevelSpec, Middle, UpLevel

SPEC = LevelSpec(embedding=8, tokens=6, heads=2, head_channels=4, checkpointed=False)


def given(channels, size):
    torch.manual_seed(0)
    return torch.randn(2, channels, size, size, size), torch.randn(2, 8), torch.randn(2, 5, 6)


def test_going_down_leaves_the_whole_resolution_and_hands_on_half_of_it():
    level = DownLevel(SPEC, 4, 8, blocks=2, attends=True)
    skip, half = level(*given(4, 6))
    assert skip.shape == (2, 8, 6, 6, 6)
    assert half.shape == (2, 8, 3, 3, 3)


def test_going_up_doubles_the_resolution_and_looks_at_the_skip_connection():
    level = UpLevel(SPEC, 8, 4, blocks=2, attends=True)
    features, embedding, tokens = given(8, 3)
    skip = torch.randn(2, 8, 6, 6, 6)
    found = level(features, skip, embedding, tokens)
    assert found.shape == (2, 4, 6, 6, 6)
    assert not torch.allclose(found, level(features, 2 * skip, embedding, tokens))


def test_the_middle_works_on_a_single_voxel_of_a_single_sample():
    middle = Middle(SPEC, 16)
    features, embedding, tokens = (part[:1] for part in given(16, 1))
    assert torch.isfinite(middle(features, embedding, tokens)).all()


def test_a_level_without_attention_needs_no_tokens():
    level = DownLevel(SPEC, 4, 4, blocks=1, attends=False)
    features, embedding, tokens = given(4, 4)
    for without, with_tokens in zip(
        level(features, embedding, None), level(features, embedding, tokens), strict=True
    ):
        assert torch.equal(without, with_tokens)
