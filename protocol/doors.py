"""The doors into the training half, by name: the deciding half imports nothing of it.

Whoever moves what is named here changes the name here, and nowhere else.
"""

from __future__ import annotations

from enum import StrEnum

FORK_SERVER = "worker.processes.forkserver"  # a program, from which attempts are forked
RANK = "worker.processes.rank"  # what all ranks import
WARM = "worker.processes.warm"  # and what is done once for all of them as it is imported
SCRIPT_RANK = "worker.scripts.rank"  # and those that run a command of the user's
CUT_MODEL = ("worker.pipeline.staged", "worker.pipeline.guard")  # and those of a model in stages
FAMILIES = "models.families"  # the package of our own families, a module each
LOAD_MODEL = (
    "worker.calls.show:load_model"  # a function, for a notebook that wants the model itself
)


class Call(StrEnum):
    """A function that is called where torch is: JSON in, JSON out."""

    CHECK_SETTINGS = "worker.calls.check:check_settings"
    DEVICES = "worker.calls.check:devices"
    SURROUNDINGS = "worker.calls.surroundings:surroundings"
    JUDGE = "worker.calls.evaluation:judge"
    TUNING = "worker.calls.evaluation:tuning"
    SCORE = "worker.calls.evaluation:score"
    VISUALIZE = "worker.calls.show:visualize"
    PANELS = "worker.calls.panels:panels"
    CURVES = "worker.calls.curves:curves"
    EXPORT = "worker.calls.export:export"
    INFER = "worker.calls.infer:infer"
    PREDICT = "worker.calls.predict:predict"
    DIGESTS = "worker.calls.digests:digests"

    @property
    def module(self) -> str:
        return self.partition(":")[0]
