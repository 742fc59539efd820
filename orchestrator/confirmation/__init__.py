"""Retraining a study's best trials with fresh seeds, and what that says about the winner."""
