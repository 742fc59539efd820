"""Judging a trial's checkpoint case by case, and tuning how, without training.

Others use `bench.EvaluationBench`, which has the training half do it, and `results`, which keeps
what came of it.
"""
