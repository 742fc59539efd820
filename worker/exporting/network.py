"""This bundle's model as MONAI's workflows want it: a network, a data set of .npy files, a runner.

configs/inference.json runs this file; `predict.py` beside it does the arithmetic.
"""

import runpy
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parent
SCRIPT = runpy.run_path(str(HERE / "predict.py"))
SPEC = SCRIPT["SPEC"]


class Network(torch.nn.Module):
    """Inputs joined along the channels (B, C, …) to the output (B, C', …)."""

    def __init__(self):
        super().__init__()
        self.engine = SCRIPT["Torch"]()  # no submodule: a graph knows no train() and eval()

    def forward(self, image):
        image = torch.as_tensor(image).float().cpu()
        given = image.split([port["shape"][0] for port in SPEC["inputs"]], dim=1)
        if SPEC["loop"]:
            made = torch.cat([SCRIPT["sampled"](self.engine, one[None]) for one in given[0]])
        else:
            made = self.engine.run(*given)
        return made if len(SPEC["outputs"][0]["shape"]) == image.ndim - 1 else made[:, None]


class Samples(torch.utils.data.Dataset):
    """Every .npy file of a folder: one sample (C, …) each."""

    def __init__(self, folder):
        self.paths = sorted(Path(folder).glob("*.npy"))
        if not self.paths:
            raise SystemExit(f"there are no .npy files in {folder}; set dataset_dir")
        self.engine = SCRIPT["Torch"]()

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        values = self.engine.read(self.paths[index])
        return {"image": values.float(), "name": self.paths[index].name}


class Runner:
    """Every sample through the network, a file each."""

    def __init__(self, network, dataset, inferer, folder):
        self.network, self.dataset, self.inferer = network, dataset, inferer
        self.folder = Path(folder)

    def run(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        for sample in self.dataset:
            result = self.inferer(sample["image"][None], self.network)[0]
            self.network.engine.write(self.folder / sample["name"], result)
            print(f"{self.folder / sample['name']} {tuple(result.shape)}")
