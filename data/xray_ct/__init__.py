"""Pairs of two X-rays and the CT volume they show.

Others use `dataset.XrayCtVolumes`, `dataset.XrayCtPatches`, `settings.XrayCtSettings`,
`coarse.CoarseAndFine`, `views.read_views`, `images.resize_xrays` and `windows.window_corners`.
"""
