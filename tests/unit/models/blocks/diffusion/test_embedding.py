import pytest
import torch

from models.blocks.diffusion.embedding import timestep_embedding


@pytest.mark.parametrize("dim", [2, 16, 128])
def test_it_is_what_an_independent_implementation_gives(dim):
    from diffusers.models.embeddings import get_timestep_embedding

    timesteps = torch.tensor([0, 1, 250, 999])
    expected = get_timestep_embedding(timesteps, dim, flip_sin_to_cos=True, downscale_freq_shift=0)
    torch.testing.assert_close(timestep_embedding(timesteps, dim), expected, atol=1e-4, rtol=0)


def test_an_odd_length_ends_in_zero():
    embedding = timestep_embedding(torch.tensor([3, 700]), 5)
    assert embedding.shape == (2, 5)
    torch.testing.assert_close(embedding[:, :4], timestep_embedding(torch.tensor([3, 700]), 4))
    assert not embedding[:, 4].any()


def test_no_two_time_steps_look_alike():
    embedding = timestep_embedding(torch.arange(1000), 32)
    distances = torch.cdist(embedding, embedding) + 9 * torch.eye(1000)
    assert distances.min() > 1e-2
