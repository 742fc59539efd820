"""Attempts as jobs of a Slurm cluster, submitted by submitit.

A job is a member of a pool: it takes one trial after the other, by files in its folder.
"""
