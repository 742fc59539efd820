"""How the processes of one trial share its work."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from protocol.recipe import FREE


class Parallel(BaseModel):
    """Copies of the model, each with its share of a batch; and the stages a copy is cut into.

    How a copy is cut changes no result; how many copies share a batch does.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Annotated[Literal["ddp", "model", "ddp+model"], FREE] = Field(
        "ddp", description="copies of the model, one copy cut into stages, or both"
    )
    ranks: int = Field(1, ge=1, description="ddp: copies of the model, one process each")
    stages: Annotated[int | None, FREE] = Field(
        None, ge=2, description="model: devices that one copy is cut for, one process each"
    )
    devices: Annotated[list[str] | None, FREE] = Field(
        None, description="model: these devices, stage by stage, instead of the next free ones"
    )
    schedule: Annotated[Literal["1f1b", "gpipe", "device_map"], FREE] = Field(
        "1f1b",
        description="model: the order of micro-batches; device_map: one process, no overlap",
    )

    @property
    def depth(self) -> int:
        """Devices of one copy of the model."""
        if self.kind == "ddp":
            return 1
        return self.stages or len(self.devices or ())

    @property
    def trial_devices(self) -> int:
        """Devices of one trial: it gets all of them or none."""
        return self.ranks * self.depth

    @property
    def processes(self) -> int:
        """Processes of one trial."""
        return 1 if self.schedule == "device_map" else self.trial_devices

    @field_validator("devices")
    @classmethod
    def _usable(cls, devices: list[str] | None) -> list[str] | None:
        for device in devices or []:
            if not re.fullmatch(r"cpu|cuda:\d+", device):
                raise ValueError(f"{device!r} is no device; write cpu or cuda:0, cuda:1, …")
        gpus = [device for device in devices or [] if device != "cpu"]
        if len(set(gpus)) < len(gpus):
            raise ValueError("a GPU stands twice; expected one a stage")
        return devices

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.kind == "ddp":
            self._refuse("stages", "devices", "schedule")
            return self
        if self.kind == "model" and self.ranks > 1:
            raise ValueError(f"found ranks: {self.ranks}; write kind: ddp+model, or leave it out")
        if self.depth < 2:
            raise ValueError("expected `stages` from 2, or `devices`, one a stage")
        self._check_devices()
        if self.schedule == "device_map" and self.kind != "model":
            raise ValueError("schedule: device_map is one process; expected kind: model")
        return self

    def _refuse(self, *keys: str) -> None:
        for key in keys:
            if getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"`{key}` belongs to kind model and ddp+model, not to ddp")

    def _check_devices(self) -> None:
        if self.devices is None:
            return
        if self.kind == "ddp+model" and self.stages is None:
            raise ValueError("`devices` needs `stages` beside it where there are ranks as well")
        if len(self.devices) != self.trial_devices:
            raise ValueError(
                f"found {len(self.devices)} devices; expected {self.trial_devices}, one for each "
                "stage of each rank"
            )
        if len({device == "cpu" for device in self.devices}) > 1 and self.schedule != "device_map":
            raise ValueError("cpu and GPUs mix only with schedule: device_map")
