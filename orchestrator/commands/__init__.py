"""The commands, one file a verb; `orchestrator.command_line` declares their options, calls them."""
