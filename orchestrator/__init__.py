"""The deciding half: asks Optuna, launches attempts, follows their events, judges, reports.

It sees the protocol alone, and never torch, so that every command answers at once. Nobody imports
it; people start it as `./run_study.sh`, which is `python -m orchestrator`.
"""

from orchestrator.notebook import OpenStudy, open_study

__all__ = ["OpenStudy", "open_study"]
