"""Brain MRI: slices of healthy volumes to train on, whole volumes with lesions to judge by.

Others use `dataset.BrainSlices`, `dataset.BrainVolumes`, `dataset.BrainVolume`,
`dataset.available_folds` and `settings.BrainSettings`.
"""
