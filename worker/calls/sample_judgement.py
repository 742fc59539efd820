"""The verdict on a family that is judged sample by sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch

from models.evaluation import Case, HeldOut, Judgement
from models.family import Batch, MapDataset
from models.pictures import Picture
from protocol.objective import Objective, ranked
from worker.calls.opened import OpenedCheckpoint
from worker.ranks.batches import Sharing, validation_rounds
from worker.ranks.loading import BatchLoader
from worker.ranks.seeding import mix, reseed
from worker.ranks.trial import open_split
from worker.training.pictures import sample_pictures


def judge_samples(
    opened: OpenedCheckpoint, split: HeldOut, objective: Objective, tell: Callable[[str], None]
) -> Judgement:
    """Every metric of every sample, and pictures of the best, the median and the worst.

    Raises:
        DataError: the split has no samples, or its files are at fault.
    """
    dataset = open_split(opened.family, split)
    cases = list(_cases(opened, dataset, split, tell))
    return Judgement(
        cases=cases,
        settings={},
        pictures=list(_pictures(opened, dataset, split, cases, objective)),
    )


@torch.no_grad()
def _cases(
    opened: OpenedCheckpoint, dataset: MapDataset, split: HeldOut, tell: Callable[[str], None]
) -> Iterator[Case]:
    loader = BatchLoader(
        dataset, seed=opened.seed, workers=opened.training.loader_workers, device=opened.device
    )
    sharing = Sharing(rank=0, ranks=1, batch_size=opened.training.batch_size, accumulation=1)
    rounds = validation_rounds(len(dataset), sharing)
    for indices, batch in zip(rounds, loader.batches(0, rounds), strict=True):
        tell(f"sample {indices[0]} of {len(dataset)} of the {split} split")
        reseed(mix(opened.seed, "validation", indices[0]))
        yield from _scored(opened, batch, indices, split)


def _scored(
    opened: OpenedCheckpoint, batch: Batch, indices: Sequence[int], split: HeldOut
) -> Iterator[Case]:
    found = opened.family.evaluate(opened.model, batch)
    values = {name: found[name].double().tolist() for name in opened.family.metrics}
    for position, index in enumerate(indices):
        scores = {name: column[position] for name, column in values.items()}
        yield Case(name=f"{index:04d}", group=split, scores=scores)


def _pictures(
    opened: OpenedCheckpoint,
    dataset: MapDataset,
    split: HeldOut,
    cases: Sequence[Case],
    objective: Objective,
) -> Iterator[tuple[str, Picture]]:
    order = ranking(cases, objective)
    chosen = {"best": order[0], "median": order[len(order) // 2], "worst": order[-1]}
    for rank, index in chosen.items():
        value = cases[index].scores[objective.metric]
        title = f"{rank.capitalize()} of {len(cases)} by {objective.metric}, {value:.5g}"
        for stem, picture in sample_pictures(
            opened.family, opened.model, dataset, index, split=split, seed=opened.seed
        ):
            shown = replace(picture, title=f"{title}\n{picture.title}")
            yield f"{rank}_{stem.removeprefix(f'{split}_')}", shown


def ranking(cases: Sequence[Case], objective: Objective) -> list[int]:
    """The cases' positions from the best to the worst; what is not a number is worst."""
    numbers = range(len(cases))
    known = ranked(numbers, lambda n: cases[n].scores[objective.metric], objective.direction)
    return [*known, *(number for number in numbers if number not in known)]
