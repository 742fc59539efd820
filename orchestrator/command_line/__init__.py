"""The commands and their options. Each imports what it needs, so that --help is instant."""

# In the order of the help, in which commands stand as they are declared.
from orchestrator.command_line import searching  # isort: skip
from orchestrator.command_line import steering  # isort: skip
from orchestrator.command_line import showing  # isort: skip
from orchestrator.command_line import aside  # isort: skip
from orchestrator.command_line.app import app

__all__ = ["app", "aside", "searching", "showing", "steering"]
