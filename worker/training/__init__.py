"""The training loop, and what it leaves behind: checkpoints, histories, pictures, events.

Others use `train.Training`, `cross_validation.train_folds`, `rehearsal.rehearse` and, to read what
is left, `checkpoint.load_checkpoint`.
"""
