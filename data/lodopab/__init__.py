"""Parallel-beam sinograms and their images in LoDoPaB-CT's layout.

Others use `dataset.LodopabDataset`, `dataset.LodopabSettings`,
`reconstructions.ReconstructedDataset` and `reconstructions.ReconstructionSettings`.
"""
