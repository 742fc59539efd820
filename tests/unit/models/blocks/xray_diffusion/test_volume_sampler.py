import torch

from tests.small_diffx2ct import awake, small_family


def test_sampling_takes_the_blending_it_is_told(tmp_path):
    family = small_family(tmp_path, overlap=0.5)
    torch.manual_seed(0)
    model = awake(family.build_model()).eval()
    xrays = torch.rand(2, 16, 16)
    volumes = [
        family.sampler.sample(model, xrays, 1, blend) for blend in ("constant", "cosine", None)
    ]
    assert torch.equal(volumes[1], volumes[2])
    assert not torch.equal(volumes[0], volumes[1])
