"""Weights & Biases and TensorBoard, one run a trial: processes beside the study that only read it.

They can neither fail nor delay a trial: they tail what the trials write anyway, and whatever goes
wrong in one stays in its log. Others use `trackers.start_trackers`.
"""
