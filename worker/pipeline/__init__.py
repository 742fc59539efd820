"""Training one copy of a model with several processes, each holding two segments of its chain."""
