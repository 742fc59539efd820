"""Where training happens: what may make two runs of one plan differ."""

from __future__ import annotations

import contextlib
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

_ROOT = Path(__file__).resolve().parents[2]
_LIBRARIES = ("torch", "torchvision", "numpy", "scipy", "numba", "monai", "diffusers", "piq")
_GIT_SECONDS = 5.0


def surroundings() -> dict[str, str]:
    """Names and values for people and for comparing: processor, instructions, versions, commit.

    The instructions (AVX2, AVX-512) are those that torch chooses its loops by: sums in wider
    registers are made in another order.
    """
    found = {
        "machine": platform.node(),
        "processor": _processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "python": platform.python_version(),
        "gpu": ", ".join(
            torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())
        ),
        "cuda": str(torch.version.cuda or "") if torch.cuda.is_available() else "",
        "commit": _git("rev-parse", "HEAD"),
        "changed files": " ".join(_git("status", "--porcelain", "-uno").split()[1::2]),
    }
    for library in _LIBRARIES:
        with contextlib.suppress(PackageNotFoundError):
            found[library] = version(library)
    return {name: value for name, value in found.items() if value}


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _git(*arguments: str) -> str:
    """What git says of the program's own checkout; nothing where there is none."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(
            ["git", "-C", str(_ROOT), *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=_GIT_SECONDS,
        ).stdout.strip()
    return ""
