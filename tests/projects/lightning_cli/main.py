"""python main.py fit --config config.yaml --model.lr 0.02"""

from denoiser import Denoiser, Sines
from pytorch_lightning.cli import LightningCLI


def main():
    LightningCLI(Denoiser, Sines, save_config_kwargs={"overwrite": True})


if __name__ == "__main__":
    main()
