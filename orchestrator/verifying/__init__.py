"""Whether a study's record fits together: `verify` asks here, and nothing here writes.

`findings.Finding` is one thing that does not fit, and where.
"""
