"""Volumes from the files that scanners and their users have: NIfTI and DICOM.

Formats use `find.find_scans`, `files.read_volume`, `files.volume_files`, `volume.UprightVolume` and
`nifti_writer.nifti_bytes`.
"""
