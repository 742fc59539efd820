"""What is asked: files and `--set`, merged and validated before anything starts.

`layers.load_settings` gives `schema.Settings`; `checks` refuses what could only fail later, and
gives the `space.Space` in which search, recipe and defaults are merged.
"""
