"""What a study reads: known by what it holds, not by where it lies.

study.yml has each place with its fingerprint (see `protocol.fingerprint`), and data_files.json the
files behind it, so that a refusal can name those that changed. Data that were moved, are mounted
elsewhere or lie behind another link are the same data, which is said; other data at the same place
are refused, at the start of a run and before every attempt.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from orchestrator import words
from protocol.errors import DataError, SettingsError
from protocol.files import write_text
from protocol.fingerprint import Files, combined, difference, digest, files_of, quick_look
from protocol.folders import StudyFolder
from protocol.recipe import names_a_path

_SHARE = 0.01  # of the time that goes into looking whether data have changed, at most
EDITED = ("family",)  # code that its owner works on: only when it moves must it be the same


class Input(BaseModel):
    """One place that a study reads."""

    model_config = ConfigDict(frozen=True)

    path: str
    files: int
    bytes: int
    fingerprint: str

    @classmethod
    def of(cls, path: str, files: Files) -> Self:
        size = sum(size for size, _ in files.values())
        return cls(path=path, files=len(files), bytes=size, fingerprint=digest(files))


Found = dict[str, Files]  # the files of each place, by its key


def found_in(answer: Mapping[str, Any]) -> tuple[dict[str, Input], Found]:
    """What a check of the settings found, by the key that names each place."""
    files = {
        key: {name: (int(size), str(known)) for name, (size, known) in place["files"].items()}
        for key, place in answer.items()
    }
    return {key: Input.of(answer[key]["path"], files[key]) for key in files}, files


def take(
    folder: StudyFolder, begun: Mapping[str, Input], now: Mapping[str, Input], files: Found
) -> list[str]:
    """Sentences about what has moved since the study began.

    Args:
        begun: as study.yml has it; a place that is not in it, of an earlier version, is taken as
            it is now.

    Raises:
        SettingsError: something else lies there; names what changed.
    """
    sentences = []
    for key, found in now.items():
        known = begun.get(key)
        if known is None:
            continue
        if known.fingerprint == found.fingerprint:
            if known.path != found.path:
                same = words.counted(found.files, "file")
                sentences.append(f"{key} is {found.path} now: the same {same} as {known.path}")
        elif key not in EDITED or known.path != found.path:
            raise SettingsError(_refusal(folder, known, found, files[key], key), key=key)
    return sentences


def _refusal(folder: StudyFolder, known: Input, now: Input, files: Files, key: str) -> str:
    before = _remembered(folder).get(key)
    what = difference(before, files) if before else ""
    place = "" if known.path == now.path else f" in {known.path}"
    return (
        f"{now.path} does not hold what study {folder.name!r} was begun with{place}: "
        f"{_counts(now)}, expected {_counts(known)}{what and f' ({what})'}; trials of both would "
        "not be comparable: put it back, or choose another --study_name"
    )


def _counts(found: Input) -> str:
    return (
        f"{words.counted(found.files, 'file')} of {found.bytes} bytes, "
        f"fingerprint {found.fingerprint[:12]}…"
    )


def remember(folder: StudyFolder, files: Found) -> None:
    """Keep the names behind the fingerprints; without them a refusal names none."""
    known = {**_remembered(folder), **files}
    write_text(folder.data_files, json.dumps(known, indent=0) + "\n")


def _remembered(folder: StudyFolder) -> Found:
    with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
        content = json.loads(folder.data_files.read_text(encoding="utf-8"))
        return {
            key: {name: (int(size), str(known)) for name, (size, known) in files.items()}
            for key, files in content.items()
        }
    return {}


def caches_of(data: Mapping[str, Any], free: Iterable[str]) -> list[Path]:
    """The folders of a study's `data` section that change no result, and so do not count.

    Args:
        free: dotted keys of the family that change no result.
    """
    keys = [key for key in data if f"data.{key}" in free and names_a_path(key)]
    return [Path(data[key]) for key in keys if data[key]]


def data_fingerprint(inputs: Mapping[str, Input]) -> str:
    """One word for all that a study reads, but for the family's own code; of nothing none."""
    digests = {key: s.fingerprint for key, s in inputs.items() if key not in EDITED}
    return combined(digests) if digests else ""


class DataWatch:
    """Notices data that change while a study runs, for little: only sizes and times are looked at.

    Of a large set even that takes a while; it is then not done at every attempt, but as often as a
    hundredth of the time allows. Where something looks different, the fingerprint decides.
    """

    def __init__(self, inputs: Mapping[str, Input], caches: Sequence[Path] = ()) -> None:
        """From now on; `caches` are folders that do not count."""
        self._caches = caches
        self._inputs = {key: s for key, s in inputs.items() if key not in EDITED}
        self._rested = 0.0
        self._seen = self._look()

    def check(self) -> None:
        """To be called before an attempt is launched.

        Raises:
            DataError: the data are not those that the study was begun with.
        """
        if time.monotonic() < self._rested:
            return
        seen = self._look()
        for key, found in self._inputs.items():
            if seen[key] != self._seen[key] and digest(
                files_of(Path(found.path), self._caches)
            ) != (found.fingerprint):
                raise DataError(
                    f"{found.path} has changed while the study runs: its fingerprint is not "
                    f"{found.fingerprint[:12]}… any more; put back what was there and type the "
                    "same command again",
                    key=key,
                )
        self._seen = seen

    def _look(self) -> dict[str, str]:
        begun = time.monotonic()
        seen = {
            key: quick_look(Path(found.path), self._caches) for key, found in self._inputs.items()
        }
        ended = time.monotonic()
        self._rested = ended + (ended - begun) / _SHARE
        return seen
