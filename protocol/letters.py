"""What processes write to each other, on whatever hosts: small files, whole or not there.

A letter is written once and never changed. On a network file system it may be seen late, but is
then seen whole; of two who write the same one, on whatever hosts, one succeeds.
"""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

from protocol.files import link_once, read_fresh, sync_folder


def post(path: Path, letter: dict[str, Any]) -> bool:
    """Write a letter; False where somebody else has written it already."""
    return post_text(path, json.dumps(letter) + "\n")


def post_text(path: Path, text: str) -> bool:
    """The same with a file of plain text."""
    draft = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.partial")
    with draft.open("w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    try:
        posted = link_once(draft, path)
    finally:
        draft.unlink()
    sync_folder(path.parent)
    return posted


def read(path: Path) -> dict[str, Any] | None:
    """A letter; None while there is none."""
    text = read_fresh(path)
    if not text or not text.endswith("\n"):
        return None
    letter: dict[str, Any] = json.loads(text)
    return letter
