"""Functions that the deciding half has called here: JSON in, JSON out.

`check` looks at settings and data before a study starts; `evaluation`, `show` and `infer` judge,
draw and use a trained model. `show.load_model` is also for people's own programs.
"""
