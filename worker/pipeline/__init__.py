"""Training one copy of a model with several processes, each holding a fold of its chain."""
