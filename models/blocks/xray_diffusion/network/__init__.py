"""The three-dimensional U-Net that sees the noise of a patch in the light of two X-rays.

`model` is the whole of it, `segments` the same cut for several devices, `output` how to read it.
"""
