"""Looks at a page in headless Chromium: what it comes to, and everything it complains of."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

SWITCHES = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--enable-logging=stderr",
    "--virtual-time-budget=6000",
]
_PROBE = """
<script>
addEventListener("load", () => setTimeout(() => {{
  const found = (() => {{ {script} }})();
  parent.postMessage(JSON.stringify(found), "*");
}}, 1500));
</script>
"""
_FRAME = """<body style="margin:0">
<iframe src="{page}" style="width:{width}px;height:9000px;border:0"></iframe>
<pre id="found"></pre><script>
addEventListener("message", (told) => {{
  document.getElementById("found").textContent = told.data;
}});
</script></body>"""


def seen(page: Path, script: str, *, width: int = 1400) -> tuple[Any, list[str]]:
    """What `script`, the body of a function, returns in the page; and what the console told.

    The page is looked at in a frame, as windows are not as narrow as telephones.
    """
    probed, frame = page.with_name(f"probed_{page.name}"), page.with_name("frame.html")
    probed.write_text(page.read_text() + _PROBE.format(script=script))
    frame.write_text(_FRAME.format(page=probed.name, width=width))
    dom, told = _run(frame, f"--window-size={max(width, 500)},9000", "--dump-dom")
    found = re.search(r'<pre id="found">(.*?)</pre>', dom, re.DOTALL)
    assert found is not None
    assert found[1], f"the page told nothing: {told}"
    return json.loads(unescape(found[1])), told


def printed(page: Path, path: Path) -> int:
    """Print a page to a PDF file; the number of its pages."""
    _run(page, "--no-pdf-header-footer", f"--print-to-pdf={path}")
    return len(re.findall(rb"/Type\s*/Page\b", path.read_bytes()))


def _run(page: Path, *switches: str) -> tuple[str, list[str]]:
    assert CHROMIUM is not None
    done = subprocess.run(
        [CHROMIUM, *SWITCHES, *switches, page.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]
