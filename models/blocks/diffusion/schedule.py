"""How much of an image is left at each step of a diffusion process."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

ScheduleKind = Literal["cosine", "linear"]

COSINE_OFFSET = 0.008  # s of Nichol & Dhariwal 2021, eq. 17
LARGEST_BETA = 0.999  # the same paper's guard against a singular last step
LINEAR_BETAS = (1e-4, 0.02)  # Ho et al. 2020, for 1000 steps


class NoiseSchedule:
    """The forward process q(x_t | x_0) = N(√ᾱ_t·x_0, (1 − ᾱ_t)·I) of Ho et al. 2020, eq. 4.

    `cosine` is that of Nichol & Dhariwal 2021 ("Improved denoising diffusion probabilistic
    models", eq. 17), `linear` that of Ho et al. 2020, its slope rescaled when there are not 1000
    steps so that the last step is as noisy.

    It is no module: its tables belong to no checkpoint. They are made in float64, as 1 − ᾱ_t of
    early steps is lost in float32. Images are (B, 1, H, W), or have any other shape after the
    batch; time steps `t` are (B,) int64 on the images' device, from 0 to `steps` − 1.
    """

    def __init__(self, kind: ScheduleKind, steps: int = 1000) -> None:
        if steps < 1:
            raise ValueError(f"steps: found {steps}, expected at least 1")
        self.steps = steps
        self.betas = _cosine_betas(steps) if kind == "cosine" else _linear_betas(steps)
        kept = torch.cumprod(1 - self.betas, dim=0)
        self._kept = kept
        self.alphas_cumprod = kept.float()
        self._signal = kept.sqrt().float()
        self._noise = (1 - kept).sqrt().float()
        self._snr = (kept / (1 - kept)).float()
        self._on_device: dict[tuple[str, torch.device], Tensor] = {}

    def add_noise(self, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """x_t = √ᾱ_t·x_0 + √(1 − ᾱ_t)·ε."""
        return self._at("signal", t, x0) * x0 + self._at("noise", t, x0) * noise

    def x0_from_epsilon(self, xt: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """x̂_0 = (x_t − √(1 − ᾱ_t)·ε̂) / √ᾱ_t (Ho et al. 2020, eq. 15), not clamped."""
        return (xt - self._at("noise", t, xt) * eps) / self._at("signal", t, xt)

    def velocity(self, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """v = √ᾱ_t·ε − √(1 − ᾱ_t)·x_0.

        Salimans & Ho 2022, "Progressive distillation for fast sampling of diffusion models",
        section 4.
        """
        return self._at("signal", t, x0) * noise - self._at("noise", t, x0) * x0

    def epsilon_from_velocity(self, xt: Tensor, velocity: Tensor, t: Tensor) -> Tensor:
        """ε̂ = √(1 − ᾱ_t)·x_t + √ᾱ_t·v̂ (Salimans & Ho 2022, appendix D)."""
        return self._at("noise", t, xt) * xt + self._at("signal", t, xt) * velocity

    def x0_from_velocity(self, xt: Tensor, velocity: Tensor, t: Tensor) -> Tensor:
        """x̂_0 = √ᾱ_t·x_t − √(1 − ᾱ_t)·v̂ (the same appendix), not clamped."""
        return self._at("signal", t, xt) * xt - self._at("noise", t, xt) * velocity

    def signal(self, t: Tensor) -> Tensor:
        """√ᾱ_t, the share of x_0 that is left in x_t; (B,)."""
        return self._table("signal", t.device)[t]

    def noise_share(self, t: Tensor) -> Tensor:
        """√(1 − ᾱ_t), the share of noise in x_t; (B,)."""
        return self._table("noise", t.device)[t]

    def nearest(self, alphas_cumprod: Tensor) -> Tensor:
        """The time steps, int64, whose signal-to-noise ratio is nearest to that of ᾱ, (B,)."""
        wanted = torch.logit(alphas_cumprod.double())
        own = torch.logit(self._kept).to(wanted.device)
        return (own[None, :] - wanted[:, None]).abs().argmin(dim=1)

    def p2_weights(self, t: Tensor, gamma: float) -> Tensor:
        """The loss weight 1 / (1 + SNR_t)^γ with SNR_t = ᾱ_t / (1 − ᾱ_t), as (B, 1, 1, 1).

        Choi et al. 2022, "Perception prioritized training of diffusion models", eq. 8, without
        the constant factor; γ = 0 weighs all steps alike.
        """
        return (1 + self._table("snr", t.device)[t].reshape(-1, 1, 1, 1)) ** -gamma

    def _at(self, name: str, t: Tensor, images: Tensor) -> Tensor:
        """A table's entries at `t`, (B, 1, …, 1) to go with `images`."""
        return self._table(name, t.device)[t].reshape(-1, *[1] * (images.ndim - 1))

    def _table(self, name: str, device: torch.device) -> Tensor:
        # Copied to a device once: a copy a step would make the host wait for the device.
        if (name, device) not in self._on_device:
            table = {"signal": self._signal, "noise": self._noise, "snr": self._snr}[name]
            self._on_device[name, device] = table.to(device)
        return self._on_device[name, device]


def _cosine_betas(steps: int) -> Tensor:
    """β_t = 1 − f(t + 1)/f(t) with f(t) = cos²((t/T + s)/(1 + s)·π/2), float64 (T,)."""
    time = torch.arange(steps + 1, dtype=torch.float64) / steps
    left = torch.cos((time + COSINE_OFFSET) / (1 + COSINE_OFFSET) * math.pi / 2) ** 2
    return (1 - left[1:] / left[:-1]).clamp(max=LARGEST_BETA)


def _linear_betas(steps: int) -> Tensor:
    """Evenly spaced β_t, float64 (T,)."""
    first, last = (beta * 1000 / steps for beta in LINEAR_BETAS)
    betas = torch.linspace(first, last, steps, dtype=torch.float64)
    return betas.clamp(max=LARGEST_BETA)
