"""Trials that are a command of the user's: its processes, what it reports, how it ends.

Nothing here imports torch. Others use `rank.run_script_rank`.
"""
