"""Which point comes next, and which trial goes on: samplers and pruners.

Others use `ask.Asker`, which is a runner's source of trials, and `pruner.pruner_of`.
"""
