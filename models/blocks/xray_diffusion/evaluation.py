"""Judges models by the volumes that they make of held-out X-rays.

Beside each volume stands what needs no X-rays: the mean of the training volumes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from torch import Tensor, nn

from data.xray_ct.dataset import XrayCtVolumes
from models.blocks.images.volume_metrics import psnr
from models.blocks.images.volume_pictures import compare_volumes
from models.blocks.images.volumes import volume_scores
from models.blocks.xray_diffusion.mean_volume import MOST_AVERAGED, mean_volume
from models.blocks.xray_diffusion.patches import WholeCase, whole_case
from models.blocks.xray_diffusion.sampled import SampledVolumes
from models.blocks.xray_diffusion.tuning import BlendParameters, tuning_of
from models.blocks.xray_diffusion.volume_sampler import VolumeSampler
from models.evaluation import Case, Evaluation, Judgement, Request, Tuning
from models.pictures import Picture

BASELINE = "mean_"  # before the names of the mean volume's scores


class SampledEvaluation(Evaluation):
    """Samples a volume of every case of a split."""

    def __init__(self, sampler: VolumeSampler) -> None:
        self._sampler = sampler

    def judge(self, model: nn.Module, request: Request) -> Judgement:
        """Mean absolute error in HU, PSNR and SSIM of every case, and of the mean volume.

        Raises:
            DataError: a file is missing or damaged, or the model gives NaN.
        """
        return _Judge(self._sampler, model, request).judgement()

    def tuning(self, model: nn.Module, request: Request) -> Tuning:
        """How windows are blended: every case is sampled with each kind of blending.

        Raises:
            DataError: as `judge`.
        """
        judge = _Judge(self._sampler, model, request)
        return tuning_of(judge.mean_psnr, default=self._sampler.settings.blend)


class _Judge:
    """One checkpoint on one split."""

    def __init__(self, sampler: VolumeSampler, model: nn.Module, request: Request) -> None:
        self._sampler = sampler
        self._request = request
        self._window = sampler.data.hu_window
        self._volumes = XrayCtVolumes(sampler.data, request.split)
        self._sampled = SampledVolumes(sampler, model, request.store)
        self._blend = BlendParameters.model_validate(
            {"blend": sampler.settings.blend, **request.parameters}
        ).blend

    def judgement(self) -> Judgement:
        mean = mean_volume(self._sampler.data)
        cases = [self._case(case, mean) for case in self._told(f"sampling, {self._blend} blending")]
        settings = self._sampler.settings
        return Judgement(
            cases=cases,
            settings={
                "sampler": settings.sampler,
                "sampling_steps": settings.sampling_steps,
                "blend": self._blend,
                "overlap": settings.overlap,
                "hu_window": list(self._window),
            },
            notes=[
                f"{BASELINE}… are the scores of the mean of the training volumes (of the first "
                f"{MOST_AVERAGED} at most), which looks at no X-ray",
                "one sample of each case: another seed makes another volume",
            ],
            pictures=list(self._pictures(cases)),
        )

    def mean_psnr(self, blend: str) -> float:
        """Over the split's cases, in dB."""
        kind = BlendParameters.model_validate({"blend": blend}).blend
        found = [
            float(psnr(self._sampled.of(case, kind)[None], case.ct[None]))
            for case in self._told(f"sampling, {kind} blending")
        ]
        return math.fsum(found) / len(found)

    def _case(self, case: WholeCase, mean: Tensor) -> Case:
        scores: dict[str, float | None] = {}
        made = {"": self._sampled.of(case, self._blend), BASELINE: mean}
        for prefix, volume in made.items():
            found = volume_scores(volume, case.ct, self._window)
            scores |= {f"{prefix}{name}": value for name, value in found.items()}
        return Case(name=case.name, group=self._request.split, scores=scores)

    def _pictures(self, cases: Sequence[Case]) -> Iterator[tuple[str, Picture]]:
        order = sorted(range(len(cases)), key=lambda index: -(cases[index].scores["psnr"] or 0))
        chosen = {"best": order[0], "median": order[len(order) // 2], "worst": order[-1]}
        for rank, index in chosen.items():
            case = whole_case(self._volumes, index)
            sampled = self._sampled.of(case, self._blend)
            title = f"{rank.capitalize()} of {len(cases)}: {case.name}"
            (picture,) = compare_volumes(
                [title], case.ct[None], {"Sampled": sampled[None]}, hu_window=self._window
            )
            yield f"{rank}_{case.name}", picture

    def _told(self, doing: str) -> Iterator[WholeCase]:
        for index in range(len(self._volumes)):
            case = whole_case(self._volumes, index)
            self._request.tell(f"{doing}: {index} of {len(self._volumes)}, {case.name}")
            yield case
