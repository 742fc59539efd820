"""Model families, and what they are made of.

`family` says what a family is, `pipelined` what one is that several devices share, and `evaluation`
how one is judged on whole splits; families from outside the project derive from these. The training
half finds a family through `registry` and knows it by nothing but its contract.
"""
