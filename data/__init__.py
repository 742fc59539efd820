"""Data sets: read, prepared and simulated; of ours it imports the protocol alone.

Others use the formats' data sets and settings (`data.lodopab`, `data.brain`, `data.xray_ct`),
`data.splits.Split`, `data.geometry.ParallelGeometry` and `data.scans.nifti_writer.nifti_bytes`.
`python -m data` is the command line `./run_study.sh prepare`.
"""
