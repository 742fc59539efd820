"""In which order each stage works on the micro-batches: GPipe and 1F1B for a folded chain.

With S stages there are 2·S segments, and segment k is on stage min(k, 2·S − 1 − k), so a
micro-batch passes every stage four times: down and up forwards, then up and down backwards. The
orders come from playing the work through, a segment's backward pass taking twice the time of its
forward pass. GPipe (Huang et al. 2019) runs all forward passes before the first backward one;
1F1B (Narayanan et al. 2021) prefers backward passes and lets at most 2·S − 1 micro-batches in at a
time, which bounds the activations that a stage keeps: with fewer the way there and back, which is
twice as long here as in a chain that is not folded, would leave stages idle.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

ScheduleKind = Literal["1f1b", "gpipe"]
Way = Literal["forward", "backward"]
DURATION = {"forward": 1, "backward": 2}


class Work(NamedTuple):
    """One pass of one micro-batch through one segment."""

    direction: Way
    segment: int
    micro: int


def stage_of(segment: int, stages: int) -> int:
    """The stage that holds `segment` of the folded chain."""
    return min(segment, 2 * stages - 1 - segment)


def orders(kind: ScheduleKind, stages: int, micro_batches: int) -> dict[int, list[Work]]:
    """What each stage does, in its order."""
    return _play(kind, stages, micro_batches).orders


def duration(kind: ScheduleKind, stages: int, micro_batches: int) -> int:
    """How long the whole takes where every segment's forward pass takes 1, its backward pass 2.

    One stage alone would take 6·S·m.
    """
    return max(_play(kind, stages, micro_batches).ends.values())


@dataclass
class _Play:
    kind: ScheduleKind
    stages: int
    micro_batches: int
    orders: dict[int, list[Work]] = field(default_factory=dict)
    ends: dict[Work, int] = field(default_factory=dict)  # when each work begun will be done
    free: dict[int, int] = field(default_factory=dict)  # when each stage will be

    def ready(self, stage: int, now: int) -> list[Work]:
        """What the stage could begin, the most urgent first: backward before forward passes, and
        the micro-batch that is furthest before others.
        """
        up = 2 * self.stages - 1 - stage
        backward = [*self._next("backward", stage, now), *self._next("backward", up, now)]
        forward = [*self._next("forward", up, now), *self._next("forward", stage, now)]
        return sorted(backward, key=lambda work: work.micro) + forward

    def _next(self, direction: Way, segment: int, now: int) -> Iterator[Work]:
        stage = stage_of(segment, self.stages)
        begun = sum(work[:2] == (direction, segment) for work in self.orders[stage])
        work = Work(direction, segment, begun)
        if begun < self.micro_batches and self._admitted(work, stage, now):
            needed = self._needs(work)
            if needed is None or self.ends.get(needed, now + 1) <= now:
                yield work

    def _needs(self, work: Work) -> Work | None:
        last = 2 * self.stages - 1
        if work.direction == "forward":
            return work._replace(segment=work.segment - 1) if work.segment > 0 else None
        if work.segment == last:
            return work._replace(direction="forward")
        return work._replace(segment=work.segment + 1)

    def _admitted(self, work: Work, stage: int, now: int) -> bool:
        if self.kind == "gpipe":
            forwards = sum(done.direction == "forward" for done in self.orders[stage])
            return work.direction == "forward" or forwards == 2 * self.micro_batches
        if work.direction == "backward" or work.segment > 0:
            return True
        left = (self.ends.get(Work("backward", 0, n), now + 1) <= now for n in range(work.micro))
        return work.micro - sum(left) < 2 * self.stages - 1


def _play(kind: ScheduleKind, stages: int, micro_batches: int) -> _Play:
    play = _Play(kind, stages, micro_batches)
    play.orders = {stage: [] for stage in range(stages)}
    play.free = dict.fromkeys(range(stages), 0)
    now = 0
    while sum(map(len, play.orders.values())) < 4 * stages * micro_batches:
        for stage in range(stages):
            possible = play.ready(stage, now) if play.free[stage] <= now else []
            if possible:
                work = possible[0]
                play.orders[stage].append(work)
                play.free[stage] = play.ends[work] = now + DURATION[work.direction]
        now += 1
    return play
