"""Live progress of a study, on a terminal or as lines in a log.

Others use `open.open_display`, which chooses between the two, and `display.Display`.
"""
