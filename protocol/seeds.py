"""Seeds derived from seeds, so that no random state has to be kept."""

from __future__ import annotations

import hashlib


def derive_seed(*parts: int | str) -> int:
    """A seed below 2³¹ that depends on every part, the same on every machine."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest) % 2**31
