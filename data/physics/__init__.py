"""What radiation does on its way through a body, and what a detector counts of it.

Formats use `parallel.simulate` for low-dose sinograms, `radiograph.radiographs` for X-rays,
`attenuation.IntensityScale`, `resample.resample_square` and `photons` for the numbers.
"""
