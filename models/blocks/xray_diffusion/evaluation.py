"""Judges models by the volumes that they make of held-out X-rays.

Beside each volume stands what needs no X-rays: the mean of the training volumes. Phantoms and
chests look much alike, and a model that has learned no more than that does as well as the mean.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from data.xray_ct.dataset import XrayCtSettings, XrayCtVolumes
from models.blocks.images.volume_metrics import mae_hu, psnr, ssim
from models.blocks.images.volume_pictures import compare_volumes
from models.blocks.xray_diffusion.patches import WholeCase, whole_case
from models.blocks.xray_diffusion.sampled import BlendParameters, SampledVolumes, VolumeSampler
from models.blocks.xray_diffusion.tuning import tuning_of
from models.evaluation import Case, Evaluation, Judgement, Request, Tuning
from models.pictures import Picture

MOST_AVERAGED = 100  # volumes: more change the mean little, and reading them takes minutes


BASELINE = "mean_"  # before the names of the mean volume's scores


class SampledEvaluation(Evaluation):
    """Samples a volume of every case of a split."""

    def __init__(self, family: VolumeSampler) -> None:
        self._family = family

    def judge(self, model: nn.Module, request: Request) -> Judgement:
        """Mean absolute error in HU, PSNR and SSIM of every case, and of the mean volume.

        Raises:
            DataError: a file is missing or damaged, or the model gives NaN.
        """
        return _Judge(self._family, model, request).judgement()

    def tuning(self, model: nn.Module, request: Request) -> Tuning:
        """How windows are blended: every case is sampled with each kind of blending.

        Raises:
            DataError: as `judge`.
        """
        judge = _Judge(self._family, model, request)
        return tuning_of(judge.mean_psnr, default=self._family.settings.blend)


class _Judge:
    """One checkpoint on one split."""

    def __init__(self, family: VolumeSampler, model: nn.Module, request: Request) -> None:
        self._family = family
        self._request = request
        self._window = family.data.hu_window
        self._volumes = XrayCtVolumes(family.data, request.split)
        self._sampled = SampledVolumes(family, model, request.store)
        self._blend = BlendParameters.model_validate(
            {"blend": family.settings.blend, **request.parameters}
        ).blend

    def judgement(self) -> Judgement:
        mean = mean_volume(self._family.data)
        cases = [self._case(case, mean) for case in self._told(f"sampling, {self._blend} blending")]
        settings = self._family.settings
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


def mean_volume(settings: XrayCtSettings) -> Tensor:
    """The mean of the first training volumes, (1, D, H, W) in [0, 1].

    Raises:
        DataError: a file is missing or damaged.
    """
    volumes = XrayCtVolumes(settings.model_copy(update={"flip": False}), "train")
    count = min(len(volumes), MOST_AVERAGED)
    total = torch.zeros((1, *(settings.ct_size,) * 3))
    for index in range(count):
        total += torch.as_tensor(volumes[index]["ct"])
    return total / count


def volume_scores(
    result: Tensor, target: Tensor, hu_window: tuple[float, float]
) -> dict[str, float]:
    """Mean absolute error in HU, PSNR in dB and SSIM of one volume, at the window's data range.

    Args:
        result, target: (1, D, H, W) in [0, 1].
        hu_window: the CT numbers that 0 and 1 stand for.
    """
    one, other = result[None], target[None]
    return {
        "mae_hu": float(mae_hu(one, other, hu_window)),
        "psnr": float(psnr(one, other)),
        "ssim": float(ssim(one, other)),
    }
