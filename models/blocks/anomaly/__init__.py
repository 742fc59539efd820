"""Families that show what a healthy brain would look like, and find what is not.

`family` is what such a family has to be, `denoising` all but the corruption of one that learns by
adding noise and removing it.
"""
