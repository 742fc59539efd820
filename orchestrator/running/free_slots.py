"""Which slots are free: those of trials that ended, unless others use their GPUs or they failed."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.running.session import Session
from orchestrator.running.slots import Slot
from protocol.errors import UserError


class FreeSlots:
    """Lends a session's slots to trials."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._free = list(session.slots)
        self._lent: list[Slot] = []
        self._yielded: dict[Slot, str] = {}  # free ones that others use, and who

    @property
    def yielded(self) -> bool:
        """Whether others use a free one."""
        return bool(self._yielded)

    @property
    def devices_held(self) -> int:
        """Devices that are this study's alone; on a cluster its jobs hold them."""
        if self._session.settings.launcher.kind == "slurm":
            return 0
        slots = [slot for slot in self._session.slots if slot not in self._yielded]
        return sum(slot.device_count for slot in slots)

    def find(self) -> Slot | None:
        """The first free one that nobody else uses, where others are yielded to."""
        if not self._session.settings.yield_to_others:
            return self._free[0] if self._free else None
        taken = {
            slot: told for slot in self._free if (told := self._session.gpus.taken(slot.devices))
        }
        for slot, told in taken.items():
            if slot not in self._yielded:
                self._session.display.notice(f"{told}, and left alone until it is free")
        for slot in self._yielded.keys() - taken.keys():
            self._session.display.notice(f"{', '.join(slot.devices)}: free again")
        self._yielded = taken
        return next((slot for slot in self._free if slot not in taken), None)

    def lend(self, slot: Slot) -> None:
        """A trial has it from now on."""
        self._free.remove(slot)
        self._lent.append(slot)

    def lend_any(self) -> Slot:
        """One for a trial that trains already, though there may be none left."""
        slot = self._free.pop(0) if self._free else self._session.slots[0]
        self._lent.append(slot)
        return slot

    def take_back(self, slot: Slot) -> None:
        """The trial has ended that had it."""
        self._lent.remove(slot)
        # Unless its device was set aside meanwhile, or more were lent than there are.
        used = self._lent.count(slot) + self._free.count(slot)
        if used < self._session.slots.count(slot):
            self._free.append(slot)
            self._session.gpus.freed(slot.devices)

    def set_aside(self, devices: Sequence[str], reason: str) -> UserError | None:
        """A GPU that failed for one process fails for the next: this run does without it.

        Returns:
            What to end the run for, once no device is left.
        """
        slots = [slot for slot in self._session.slots if not set(devices) & set(slot.devices)]
        self._session.slots = slots
        self._free = [slot for slot in self._free if slot in slots]
        told = f"{', '.join(devices)} answered with an error: {reason}"
        self._session.display.notice(f"{told}; this run does without from now on")
        if slots:
            return None
        mend = "mend that and type the same command again"
        return UserError(f"no device is left to train on; {told}; {mend}")
