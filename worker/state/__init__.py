"""What changes while a trial trains, piece by piece, each with its way into a checkpoint.

`worker.training.learner.Learner` puts the pieces together; nobody else needs them.
"""
