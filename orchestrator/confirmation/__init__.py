"""Retraining a study's best trials with fresh seeds, and what that says about the winner.

`repetitions.Repetitions` gives a runner its trials, `results.confirmation_of` makes of their
records what `saved` keeps in confirmation.json.
"""
