"""What diffusion models share, whatever they make: schedule, noise, seeds and a planar U-Net.

Everything random about a sample is a function of the sample's own seed.
"""
