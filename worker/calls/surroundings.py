"""Where training happens: what may make two runs of one plan differ."""

from __future__ import annotations

import contextlib
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_LIBRARIES = ("torch", "torchvision", "numpy", "scipy", "numba", "monai", "diffusers", "piq")
_GIT_SECONDS = 5.0


def surroundings(workdir: str | None = None) -> dict[str, str]:
    """Names and values for people and for comparing: processor, instructions, versions, commit.

    The instructions (AVX2, AVX-512) are those that torch chooses its loops by: sums in wider
    registers are made in another order.

    Args:
        workdir: of a command of the user's, which alone knows what it trains with.
    """
    if workdir is not None:
        return _of_script(Path(workdir))
    import torch  # seconds, which a command of the user's need not wait for

    found = {
        "machine": platform.node(),
        "processor": _processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "python": platform.python_version(),
        "gpu": ", ".join(
            torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())
        ),
        "cuda": str(torch.version.cuda or "") if torch.cuda.is_available() else "",
        **_state_of(_ROOT),
    }
    for library in _LIBRARIES:
        with contextlib.suppress(PackageNotFoundError):
            found[library] = version(library)
    return {name: value for name, value in found.items() if value}


def _of_script(workdir: Path) -> dict[str, str]:
    found = {
        "machine": platform.node(),
        "processor": _processor(),
        **_state_of(_ROOT),
        **{f"script's {name}": value for name, value in _state_of(workdir).items()},
    }
    return {name: value for name, value in found.items() if value}


def _state_of(checkout: Path) -> dict[str, str]:
    return {
        "commit": _git(checkout, "rev-parse", "HEAD"),
        "changed files": " ".join(_git(checkout, "status", "--porcelain", "-uno").split()[1::2]),
    }


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _git(checkout: Path, *arguments: str) -> str:
    """What git says of a checkout; nothing where there is none."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(
            ["git", "-C", str(checkout), *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=_GIT_SECONDS,
        ).stdout.strip()
    return ""
