"""A trial as a folder of TensorBoard's event files. The only file that imports tensorboard."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event as Record
from tensorboard.compat.proto.event_pb2 import SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2, summary_v2
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from orchestrator.tracking.mirror import OpenSink
from protocol.folders import TrialFolder
from protocol.messages import (
    Ending,
    Event,
    Outcome,
    Pictured,
    Plan,
    Progressed,
    Started,
    Validated,
)

_STATUS = {Ending.COMPLETED: api_pb2.STATUS_SUCCESS, Ending.PRUNED: api_pb2.STATUS_SUCCESS}
_HEAD = 24  # bytes of a PNG file up to its width and height


def open_run(folder: Path) -> OpenSink:
    """What opens a trial's run, a folder of its own in `folder`."""
    return lambda trial, plan: TensorBoardSink(trial, folder / trial.path.name)


class TensorBoardSink:
    """One trial's run.

    Args:
        trial: its folder in the study.
        folder: for its event files; those of an earlier session stay beside the new one's.
    """

    def __init__(self, trial: TrialFolder, folder: Path) -> None:
        self._trial = trial
        self._writer = EventFileWriter(str(folder))
        self._step = 0

    def planned(self, plan: Plan) -> None:
        given = {key: _shown(plan.recipe.given.get(key)) for key in plan.searched}
        self._summary(summary_v2.hparams_pb(given, trial_id=f"{plan.study} {plan.trial}"))

    def event(self, event: Event) -> None:
        match event:
            case Started():
                # What an interrupted attempt told behind the checkpoint is told again, from here.
                begins = SessionLog(status=SessionLog.START)
                step = event.resumed_step + 1
                self._write(Record(wall_time=event.time, step=step, session_log=begins))
            case Progressed():
                told = {f"train/{name}": value for name, value in event.losses.items()}
                told |= {"train/learning_rate": event.learning_rate}
                self._numbers(event, told | {"train/gradient_norm": event.gradient_norm})
            case Validated():
                told = {f"train_epoch/{name}": value for name, value in event.losses.items()}
                told |= {f"validation/{name}": value for name, value in event.metrics.items()}
                self._numbers(event, told | {"epoch": event.epoch, "epoch_seconds": event.seconds})
            case Pictured():
                self._picture(event)

    def _numbers(self, event: Progressed | Validated, told: Mapping[str, float | None]) -> None:
        self._step = event.step
        values = [
            Summary.Value(tag=name, simple_value=math.nan if value is None else value)
            for name, value in told.items()
        ]
        self._summary(Summary(value=values), event.time)

    def _picture(self, event: Pictured) -> None:
        path = self._trial.path / event.path
        if not path.exists():
            return
        content = path.read_bytes()
        image = Summary.Image(
            encoded_image_string=content,
            width=int.from_bytes(content[_HEAD - 8 : _HEAD - 4]),
            height=int.from_bytes(content[_HEAD - 4 : _HEAD]),
            colorspace=3,
        )
        value = Summary.Value(tag=f"pictures/{path.stem}", image=image)
        self._summary(Summary(value=[value]), event.time)

    def ended(self, outcome: Outcome) -> None:
        best = [
            Summary.Value(tag=f"best/{name}", simple_value=value)
            for name, value in outcome.metrics.items()
        ]
        self._summary(Summary(value=best))
        end = plugin_data_pb2.SessionEndInfo(
            status=_STATUS.get(outcome.ending, api_pb2.STATUS_FAILURE), end_time_secs=time.time()
        )
        content = plugin_data_pb2.HParamsPluginData(version=0, session_end_info=end)
        value = Summary.Value(tag="_hparams_/session_end_info")
        value.metadata.plugin_data.plugin_name = "hparams"
        value.metadata.plugin_data.content = content.SerializeToString()
        self._summary(Summary(value=[value]))

    def close(self) -> None:
        self._writer.close()

    def _summary(self, summary: Summary, at: float | None = None) -> None:
        moment = time.time() if at is None else at
        self._write(Record(wall_time=moment, step=self._step, summary=summary))

    def _write(self, record: Record) -> None:
        """On the disk before it counts as told."""
        self._writer.add_event(record)
        self._writer.flush()


def _shown(value: Any) -> bool | int | float | str:
    return value if isinstance(value, bool | int | float | str) else str(value)
