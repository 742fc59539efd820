"""Who the ranks of an attempt are, what each gets, and what they tell each other in a step.

Others use `trial.open_trial`, `group.Group`, `guard.Guard`, `batches`, `loading.BatchLoader`,
`validate.Validator`, and the endings `divergence.Divergence` and `stopping.StopAgreed`.
"""
