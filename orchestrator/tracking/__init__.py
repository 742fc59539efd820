"""Weights & Biases, one run a trial: a process beside the study that only reads its folders.

It can neither fail nor delay a trial: it tails what the trials write anyway, and whatever goes
wrong in it stays in its log. Others use `tracker.Tracker`.
"""
