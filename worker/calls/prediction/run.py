"""Predicting case after case: what is whole is passed over, what is damaged told and left out."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data.reading import first_line
from protocol.errors import CheckpointError, SettingsError, UserError, is_full
from protocol.files import append_line, sweep_partials
from worker.calls.prediction.record import CASES, Record, alone
from worker.calls.prediction.task import Done, Named, Task

ERRORS = "errors.log"


class Telling:
    """A file that another process reads while this one works, a line for each word."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def say(self, text: str) -> None:
        """A sentence for people."""
        append_line(self._path, json.dumps({"say": text}))

    def step(self, done: int, total: int, name: str) -> None:
        """How far it is, and at which case."""
        append_line(self._path, json.dumps({"done": done, "total": total, "name": name}))


@dataclass
class Run:
    """One run over all cases of a task, and what came of it."""

    task: Task[Any]
    telling: Telling
    made: int = 0
    kept: int = 0
    left_out: dict[str, str] = field(default_factory=dict)
    last: Mapping[str, Any] = field(default_factory=dict)  # told of the last case

    def into_folder(
        self,
        out: Path,
        depends_on: Mapping[str, Any],
        models: Mapping[str, Any],
        *,
        overwrite: bool,
    ) -> None:
        """Predict all cases into a folder, beside a record of them.

        Args:
            depends_on: models and settings; what was made of others is made anew.
            models: what they are, for the record.

        Raises:
            UserError: the folder holds other things, is written by another process, or cannot be.
            Whatever a case raises that is the only one, or that is no case's fault.
        """
        cases = self.task.cases()
        for name, why in list(self.left_out.items()):
            self.leave_out(name, why)  # found while the cases were looked for
        _check_folder(out, overwrite=overwrite)
        with alone(out):
            record = Record(out, depends_on)
            total = len(cases)
            for number, case in enumerate(cases):
                self.telling.step(number, total, case.name)
                if not overwrite and record.is_whole(case.name, case.files):
                    self.kept += 1
                    continue
                started = time.monotonic()
                done = self._tried(case, out, only=total == 1)
                if done is not None:
                    record.add(case.name, case.files, done, time.monotonic() - started)
                    self._count(case, done)
            self.telling.step(total, total, "")
            told = {"cases": total, "made": self.made, "left_out": self.left_out}
            record.end({**models, **told, "notes": list(self.task.notes)})

    def into_file(self, out: Path) -> None:
        """Predict the only case into a file.

        Raises:
            SettingsError: there are several cases, or results.
            DataError, UserError: as of a case.
        """
        cases = self.task.cases()
        if len(cases) != 1:
            raise SettingsError(
                f"found the file {out} for {len(cases)} {self.task.things[1]}; name a folder",
                key="--out",
            )
        self.telling.step(0, 1, cases[0].name)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as place:
            done = self.task.predict(cases[0], Path(place) / "result")
            if len(done.outputs) != 1:
                raise SettingsError(
                    f"found the file {out} for {len(done.outputs)} results; name a folder",
                    key="--out",
                )
            done.outputs[0].replace(out)
        self._count(cases[0], done)

    def _count(self, case: Named[Any], done: Done) -> None:
        self.made += 1
        self.last = done.told
        for remark in done.remarks:
            self.telling.say(f"LOOK AT {case.name}: {remark}")

    def _tried(self, case: Named[Any], out: Path, *, only: bool) -> Done | None:
        """What became of a case; None if it is left out, which is told."""
        stem = out / case.name
        try:
            stem.parent.mkdir(parents=True, exist_ok=True)
            sweep_partials(stem.parent)
            return self.task.predict(case, stem)
        except (SettingsError, CheckpointError):
            raise  # no case is at fault
        except UserError as error:
            if only:
                raise
            self.leave_out(case.name, str(error))
        except OSError as error:
            if is_full(error) or only:
                raise
            self.leave_out(case.name, f"it cannot be written ({error.strerror or error})")
        except MemoryError:
            self.leave_out(case.name, "it needs more memory than there is; make it smaller")
        except Exception as error:
            if only:
                raise
            append_line(out / ERRORS, f"{case.name}\n{traceback.format_exc()}")
            self.leave_out(
                case.name,
                f"{type(error).__name__}: {first_line(error)}, which is a defect of this program "
                f"(see {out / ERRORS})",
            )
        return None

    def leave_out(self, name: str, why: str) -> None:
        """Note that a case is left out, and tell why."""
        self.left_out[name] = why
        self.telling.say(f"LEFT OUT {name}: {why}")


def _check_folder(out: Path, *, overwrite: bool) -> None:
    if out.is_dir() and any(out.iterdir()) and not (out / CASES).exists() and not overwrite:
        others = [path.name for path in out.iterdir() if not path.name.startswith(".")]
        if others:
            raise SettingsError(
                f"{out} holds {sorted(others)[0]} and no predictions; name another folder, or give "
                "--overwrite to write beside it",
                key="--out",
            )
    needed = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    if shutil.disk_usage(needed).free == 0:
        raise UserError(f"there is no room on the disk of {out}; free some", key="--out")
