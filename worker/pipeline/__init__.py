"""Training one copy of a model with several processes, each holding two segments of its chain.

Imported only for models that are cut. `staged.Staged` and `device_map.Mapped` are the placements
that training asks for, `guard.StageGuard` the guard of their steps, `judging` their validation.
"""
