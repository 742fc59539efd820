"""What uv has to be told: pip's settings, which it does not read, and whether it can link."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

VARIABLES = {  # uv's, by the name of pip's setting
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
    "client-cert": "SSL_CLIENT_CERT",
    "proxy": "ALL_PROXY",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
}


def read(pip: list[str], uv: str, place: Path) -> tuple[list[str], dict[str, str]]:
    """Options and environment variables; what can hold a password is among the latter."""
    pips = pip_settings(pip)
    # As pip: certificates that the system trusts, and of all indexes the one that fits best.
    variables = {"UV_SYSTEM_CERTS": "1"}
    if "extra-index-url" in pips:
        variables["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    for name, variable in VARIABLES.items():
        if name in pips:
            variables[variable] = ("," if name == "find-links" else " ").join(pips[name].split())
    if not on_one_disk(uv, place):
        variables["UV_LINK_MODE"] = "copy"  # a link cannot be made, and uv would warn of it
    no_index = pips.get("no-index", "").lower() in ("1", "y", "yes", "t", "true", "on")
    return ["--no-index"] if no_index else [], variables


def pip_settings(pip: list[str]) -> dict[str, str]:
    """pip's configuration for `pip install`: its files, and PIP_* over them."""
    listed = subprocess.run([*pip, "config", "list"], capture_output=True, text=True).stdout
    found: dict[str, str] = {}
    for section in ("global.", "install.", ":env:."):  # the later wins
        for line in listed.splitlines():
            key, _, value = line.partition("=")
            if key.startswith(section) and (text := ast.literal_eval(value)):
                found[key.removeprefix(section)] = text
    return found


def on_one_disk(uv: str, place: Path) -> bool:
    cache = Path(
        subprocess.run([uv, "cache", "dir"], capture_output=True, text=True).stdout.strip()
    )
    there = next(folder for folder in (cache, *cache.parents) if folder.exists())
    return there.stat().st_dev == place.stat().st_dev
