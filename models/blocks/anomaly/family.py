"""What the anomaly-detection families share: they show what a healthy brain would look like."""

from __future__ import annotations

from typing import Generic

from data.brain.dataset import BrainSettings
from models.blocks.anomaly.evaluation.evaluation import AnomalyEvaluation
from models.blocks.anomaly.evaluation.reconstructor import Reconstructor
from models.evaluation import Evaluation
from models.family import Family, S


class AnomalyFamily(Family[S, BrainSettings], Reconstructor, Generic[S]):
    """A family trained on healthy slices; what it cannot reconstruct is taken for an anomaly."""

    def evaluation(self) -> Evaluation:
        """The anomaly map's agreement with lesions that are known, and the error where none are."""
        return AnomalyEvaluation(self)
