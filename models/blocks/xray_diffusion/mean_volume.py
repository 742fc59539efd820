"""What a volume is guessed to be without a look at its X-rays: the mean of those of the training.

Phantoms and chests look much alike, and a model that has learned no more than that does as well.
"""

from __future__ import annotations

import torch
from torch import Tensor

from data.xray_ct.dataset import XrayCtVolumes
from data.xray_ct.settings import XrayCtSettings

MOST_AVERAGED = 100  # volumes: more change the mean little, and reading them takes minutes


def mean_volume(settings: XrayCtSettings) -> Tensor:
    """The mean of the first training volumes, (1, D, H, W) in [0, 1].

    Raises:
        DataError: a file is missing or damaged.
    """
    volumes = XrayCtVolumes(settings.model_copy(update={"flip": False}), "train")
    count = min(len(volumes), MOST_AVERAGED)
    total = torch.zeros((1, *(settings.ct_size,) * 3))
    for index in range(count):
        total += torch.as_tensor(volumes[index]["ct"])
    return total / count
