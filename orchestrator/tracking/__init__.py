"""W&B, TensorBoard, words to people: processes beside the study that only read its folders.

They can neither fail nor delay a trial: they tail what the trials write anyway, and whatever goes
wrong in one stays in its log. Others use `trackers.start_trackers`.
"""
