"""Numbers of photons, and of what attenuates them; numbers alone, so that options can name them."""

from __future__ import annotations

PHOTONS = 4096.0  # that a detector cell counts without an object, as in LoDoPaB-CT

# Mass attenuation of water in cm²/g, which is μ in 1/cm, by keV: Hubbell & Seltzer, NIST Standard
# Reference Database 126 (2004), "Water, liquid".
WATER = {
    20: 0.8096, 30: 0.3756, 40: 0.2683, 50: 0.2269, 60: 0.2059, 80: 0.1837, 100: 0.1707,
    150: 0.1505,
}  # fmt: skip
LOWEST, HIGHEST = min(WATER), max(WATER)
KEV = 60.0  # about the mean energy of a chest X-ray tube's photons at 120 kV
