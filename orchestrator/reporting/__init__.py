"""Everything that people read but the live display: last screens, `status`, the dashboard's notes.

A file for each, and `screen` for what all screens share; `hints` spells the commands to type next.
"""
