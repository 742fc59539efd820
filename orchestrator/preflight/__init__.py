"""What the largest configuration of a search needs, tried before the first trial.

Others use `preflight.preflight` and `rehearsal.Rehearsal`.
"""
