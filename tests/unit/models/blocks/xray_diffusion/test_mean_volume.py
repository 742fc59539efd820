import torch

from data.xray_ct.dataset import XrayCtVolumes
from models.blocks.xray_diffusion.mean_volume import mean_volume
from tests.small_diffx2ct import small_data


def test_the_mean_volume_is_that_of_the_training_volumes_alone(tmp_path):
    data = small_data(tmp_path)
    volumes = XrayCtVolumes(data, "train")
    expected = torch.stack([torch.as_tensor(volumes[index]["ct"]) for index in range(3)]).mean(0)
    torch.testing.assert_close(mean_volume(data), expected)
