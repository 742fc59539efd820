"""The commands, one file a verb; `orchestrator.__main__` declares their options and calls them."""
