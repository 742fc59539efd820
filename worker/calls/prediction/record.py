"""What stands beside predictions: of which models and input they are, so that none is made twice.

`predictions.jsonl` has a line for every case that is whole, written once its files are;
`predictions.json` says what the latest run was and what it left out.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from data.caches.places import fingerprint
from protocol.errors import UserError
from protocol.files import append_line, read_lines, write_json
from worker.calls.prediction.task import Done

CASES, RUN = "predictions.jsonl", "predictions.json"
_LOCK = ".predict.lock"


class Record:
    """The record of one folder of predictions."""

    def __init__(self, out: Path, depends_on: Mapping[str, Any]) -> None:
        """Read what is there; from now on the folder is known to be one of predictions.

        Args:
            out: the folder.
            depends_on: the models and settings of this run: what was made of others is made anew.
        """
        self._out = out
        self._depends_on = json.dumps(depends_on, sort_keys=True)
        self._known: dict[str, dict[str, Any]] = {}
        (out / CASES).touch()
        for line in read_lines(out / CASES, json.loads):
            if isinstance(line, dict) and isinstance(line.get("case"), str):
                self._known[line["case"]] = line

    def is_whole(self, name: str, files: Sequence[Path]) -> bool:
        """Whether a case's results are there, of these models, settings and files."""
        line = self._known.get(name)
        if line is None or line.get("key") != self._key(files):
            return False
        outputs = line.get("outputs")
        return isinstance(outputs, dict) and all(
            _size(self._out / place) == size for place, size in outputs.items()
        )

    def add(self, name: str, files: Sequence[Path], done: Done, seconds: float) -> None:
        """Note that a case is whole; its files must be on the disk."""
        line = {
            "case": name,
            "inputs": [str(path) for path in files],
            "outputs": {
                path.relative_to(self._out).as_posix(): _size(path) for path in done.outputs
            },
            **done.told,
            "remarks": list(done.remarks),
            "seconds": round(seconds, 3),
            "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "key": self._key(files),
        }
        append_line(self._out / CASES, json.dumps(line, ensure_ascii=False), sync=True)

    def end(self, told: Mapping[str, Any]) -> None:
        """Say what this run was."""
        write_json(self._out / RUN, {**told, "depends_on": json.loads(self._depends_on)})

    def _key(self, files: Sequence[Path]) -> str:
        """Tells results of one model and input from others, as far as files' times of change do."""
        try:
            inputs = [fingerprint(path) for path in files]
        except OSError:
            return ""  # which is no key; reading the file will say what is wrong
        text = json.dumps([self._depends_on, inputs])
        return hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Be the only one to write into a folder of predictions.

    Raises:
        UserError: another one writes there, or nobody can.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / _LOCK, timeout=0)
        with lock:
            yield
            (out / _LOCK).unlink(missing_ok=True)
    except Timeout:
        raise UserError(
            f"another `predict` writes into {out}; wait for it, or name another folder",
            key="--out",
        ) from None


def _size(path: Path) -> int | None:
    """Bytes of a file, or of all files of a folder; None where there is nothing."""
    if path.is_dir():
        return sum(each.stat().st_size for each in path.iterdir())
    return path.stat().st_size if path.is_file() else None
