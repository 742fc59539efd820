"""The evaluation that anomaly-detection families share.

|x − x̂| → in-plane erosion of the brain → 3-D median → one threshold for each set of lesions, from
its validation volumes alone → small components dropped → Dice, precision, recall and Hausdorff
distance for each volume, and Dice by the one threshold of all sets beside it. Average precision
and the area under the ROC curve are of the filtered residual, without a threshold. Healthy volumes
give the error of the reconstruction itself. Behrendt et al. 2023; the same done to |x − median(x)|
is the floor that learning has to beat.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from torch import nn

from data.brain.dataset import BrainVolume, BrainVolumes
from models.blocks.anomaly.evaluation.detector import Detector, floor_residual
from models.blocks.anomaly.evaluation.lesion_picture import lesion_picture
from models.blocks.anomaly.evaluation.parameters import Parameters, published
from models.blocks.anomaly.evaluation.postprocess import Voxels
from models.blocks.anomaly.evaluation.reconstructions import Reconstructions
from models.blocks.anomaly.evaluation.reconstructor import Reconstructor
from models.blocks.anomaly.evaluation.scores import (
    average_precision,
    dice,
    hausdorff,
    mean_absolute_error,
    precision,
    recall,
    roc_auc,
    slice_scores,
)
from models.blocks.anomaly.evaluation.threshold import Thresholds
from models.blocks.anomaly.evaluation.tuning import tuning_of
from models.evaluation import Case, Evaluation, HeldOut, Judgement, Request, Tuning
from models.pictures import Picture
from protocol.errors import DataError

Kind = Literal["healthy", "lesion"]


class AnomalyEvaluation(Evaluation):
    """Judges one family's models on the brain volumes of its `data:` section."""

    def __init__(self, family: Reconstructor) -> None:
        self._family = family

    def judge(self, model: nn.Module, request: Request) -> Judgement:
        """Dice and average precision of every lesion volume, L1 of every healthy one.

        Raises:
            DataError: there are no validation volumes with lesions, or data are damaged.
        """
        return _Judge(self._family, model, request).judgement()

    def tuning(self, model: nn.Module, request: Request) -> Tuning:
        """Time steps, filtering, threshold rule and component size; the residuals are kept.

        Raises:
            DataError: there are no volumes with lesions to tune on, or data are damaged.
        """
        judge = _Judge(self._family, model, request)
        return tuning_of(
            self._family,
            judge.reconstructions,
            request,
            judge.defaults,
            lesions=judge.lesions(request.split),
            healthy=judge.volumes(request.split, "healthy"),
        )


class _Judge:
    """One checkpoint on one split."""

    def __init__(self, family: Reconstructor, model: nn.Module, request: Request) -> None:
        self._family = family
        self._request = request
        self._volumes: dict[tuple[HeldOut, Kind], BrainVolumes] = {}
        self.reconstructions = Reconstructions(family, model, request.store)
        width = self.lesions("validation")[0].image.shape[-1]
        self.defaults = published(family.timesteps, width)
        self._parameters = Parameters.model_validate(
            {**self.defaults.model_dump(), **request.parameters}
        )

    def volumes(self, split: HeldOut, kind: Kind) -> BrainVolumes:
        """A split's volumes; the lists are read once."""
        if (split, kind) not in self._volumes:
            self._volumes[split, kind] = BrainVolumes(self._family.data, split, kind)
        return self._volumes[split, kind]

    def lesions(self, split: HeldOut) -> BrainVolumes:
        """The split's volumes with lesions.

        Raises:
            DataError: there are none.
        """
        volumes = self.volumes(split, "lesion")
        if len(volumes) == 0:
            raise DataError(
                f"{self._family.data.root}: found no {split} volumes with lesions, expected some "
                f"to {'choose the threshold on' if split == 'validation' else 'score'}; list them "
                f"in Data/splits, as in Brats21_{'val' if split == 'validation' else 'test'}.csv"
            )
        return volumes

    def judgement(self) -> Judgement:
        detectors = {"": self._detector(self._residual), "floor_": self._detector(floor_residual)}
        thresholds = {
            name: self._thresholds(detector, "of the floor" if name else "")
            for name, detector in detectors.items()
        }
        lesions = self.lesions(self._request.split)
        cases = [
            _lesion_case(volume, detectors, thresholds)
            for volume in self._told(lesions, "scoring lesions")
        ]
        healthy = [
            self._healthy_case(volume)
            for volume in self._told(
                self.volumes(self._request.split, "healthy"), "scoring healthy volumes"
            )
        ]
        return Judgement(
            cases=[*cases, *healthy],
            settings={
                **self._parameters.model_dump(mode="json"),
                **{f"{name}threshold": found.pooled for name, found in thresholds.items()},
                **{f"{name}thresholds": dict(found.by_set) for name, found in thresholds.items()},
                "threshold_volumes": len(self.lesions("validation")),
            },
            notes=self._notes(cases, thresholds[""]),
            pictures=list(self._pictures(lesions, cases, detectors[""], thresholds[""])),
        )

    def _detector(self, residual: Any) -> Detector:
        return Detector(residual, self._parameters)

    def _residual(self, volume: BrainVolume) -> Voxels:
        healthy = self.reconstructions.of(volume, self._parameters.timesteps)
        difference: Voxels = np.abs(volume.image - healthy)
        return difference

    def _thresholds(self, detector: Detector, whose: str) -> Thresholds:
        doing = f"threshold {whose}".strip()
        return detector.thresholds(
            self._told(self.lesions("validation"), doing),
            self._told(self.volumes("validation", "healthy"), doing),
        )

    def _healthy_case(self, volume: BrainVolume) -> Case:
        reconstruction = self.reconstructions.of(volume, self._parameters.timesteps)
        return Case(
            name=volume.name,
            group=volume.dataset,
            scores={
                "l1": mean_absolute_error(volume.image, reconstruction),
                "l1_brain": mean_absolute_error(volume.image, reconstruction, volume.mask),
            },
        )

    def _notes(self, cases: Sequence[Case], thresholds: Thresholds) -> list[str]:
        notes = []
        without = sorted({case.group for case in cases} - thresholds.by_set.keys())
        if without:
            notes.append(
                f"{', '.join(without)} has no validation volumes to choose a threshold on, so that "
                f"of {', '.join(thresholds.by_set)} is used"
            )
        if self._request.split == "validation":
            notes.append("the threshold was chosen on these very volumes, so Dice is optimistic")
        empty = [case.name for case in cases if case.scores["auprc"] is None]
        if empty:
            notes.append(
                f"no lesion in {', '.join(empty)}: Dice is 1 where nothing was found and 0 where "
                "something was; AUPRC has no meaning there and is left out"
            )
        return notes

    def _pictures(
        self,
        lesions: BrainVolumes,
        cases: Sequence[Case],
        detector: Detector,
        thresholds: Thresholds,
    ) -> Iterator[tuple[str, Picture]]:
        order = sorted(range(len(cases)), key=lambda index: -(cases[index].scores["dice"] or 0))
        chosen = {"best": order[0], "median": order[len(order) // 2], "worst": order[-1]}
        for rank, index in chosen.items():
            volume, case = lesions[index], cases[index]
            threshold = thresholds.of(volume.dataset)
            anomaly = detector.anomaly(volume)
            picture = lesion_picture(
                volume,
                self.reconstructions.of(volume, self._parameters.timesteps),
                anomaly,
                detector.found(anomaly, threshold),
                threshold=threshold,
                title=f"{rank.capitalize()} of {len(cases)}: {case.name} ({case.group})"
                f"{_told_scores(case.scores)}",
            )
            yield f"{rank}_{case.name}", picture

    def _told(self, volumes: BrainVolumes, doing: str) -> Iterable[BrainVolume]:
        for number, volume in enumerate(volumes):
            self._request.tell(f"{doing}: {number} of {len(volumes)}, {volume.name}")
            yield volume


def _lesion_case(
    volume: BrainVolume, detectors: Mapping[str, Detector], thresholds: Mapping[str, Thresholds]
) -> Case:
    scores: dict[str, float | None] = {}
    litre = float(np.prod(volume.voxel_size)) / 1e3  # of a voxel, in millilitres
    scores["lesion_ml"] = int(volume.segmentation.sum()) * litre
    for name, detector in detectors.items():
        anomaly = detector.anomaly(volume)
        threshold, truth = thresholds[name].of(volume.dataset), volume.segmentation
        found = detector.found(anomaly, threshold)
        pooled = detector.found(anomaly, thresholds[name].pooled)
        own: dict[str, float | None] = {
            "dice": dice(found, truth),
            "dice_pooled": dice(pooled, truth),
            "precision": precision(found, truth),
            "recall": recall(found, truth),
            "hausdorff_mm": hausdorff(found, truth, volume.voxel_size),
            "auprc": average_precision(anomaly, truth),
            "roc_auc": roc_auc(anomaly, truth),
            "found_ml": int(found.sum()) * litre,
            **slice_scores(anomaly, threshold, truth, volume.mask),
        }
        scores |= {f"{name}{score}": value for score, value in own.items()}
    return Case(name=volume.name, group=volume.dataset, scores=scores)


def _told_scores(scores: Mapping[str, float | None]) -> str:
    names = {"dice": "Dice", "auprc": "AUPRC"}
    told = [f"{names[key]} {value:.3f}" for key in names if (value := scores[key]) is not None]
    return ", " + ", ".join(told)
