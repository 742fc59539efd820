"""Choosing how windows are blended without training: samples are made once with each kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict

from models.blocks.xray_diffusion.blending import BlendKind
from models.evaluation import Tuning

KINDS: tuple[BlendKind, ...] = get_args(BlendKind)


class BlendParameters(BaseModel):
    """What an evaluation may do otherwise than the recipe says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    blend: BlendKind


def tuning_of(mean_psnr: Callable[[str], float], default: BlendKind) -> Tuning:
    """What a search over the kinds of blending has to know.

    Args:
        mean_psnr: of a split's volumes, sampled with a kind of blending, in dB.
        default: the kind that is tried first.
    """
    return Tuning(
        scorer=score,
        task={"psnr": {kind: mean_psnr(kind) for kind in KINDS}},
        space={"blend": {"choices": list(KINDS)}},
        defaults={"blend": default},
    )


def score(
    tasks: Sequence[Mapping[str, Any]], candidates: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The mean PSNR of each candidate's blending over all folds.

    Args:
        tasks: of each fold, as `tuning_of` gives them.
        candidates: each {"blend": kind}.

    Returns:
        {"scores": [{"value": dB, "psnr": dB}]}, one for each candidate.
    """
    scores = []
    for candidate in candidates:
        found = [float(task["psnr"][candidate["blend"]]) for task in tasks]
        mean = sum(found) / len(found)
        scores.append({"value": mean, "psnr": mean})
    return {"scores": scores}
