"""Pages that need nothing but themselves: no network, no other file."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from orchestrator import words

_PAGES = Path(__file__).with_name("pages")


def rendered(template: str, **content: Any) -> str:
    """A page of a template; all text is escaped but what that marks as safe."""
    environment = Environment(
        loader=FileSystemLoader(_PAGES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": words.number, "setting": words.setting}
    environment.globals |= {"asset": _asset, "as_json": _as_json, "counted": words.counted}
    written = time.strftime("%Y-%m-%d %H:%M")
    return environment.get_template(template).render(written=written, **content)


def plotly_script() -> str:
    """Plotly's own script, about 5 MB: once a page."""
    from plotly.offline import get_plotlyjs

    script: str = get_plotlyjs()
    return script


def picture_url(path: Path) -> str:
    """A PNG file as a part of the page."""
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def _asset(name: str) -> str:
    """A style or a script of ours."""
    return (_PAGES / name).read_text(encoding="utf-8")


def _as_json(value: Any) -> str:
    """JSON that cannot end the script that it stands in; what is not finite is null."""
    text = json.dumps(_finite(value), separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def _finite(value: Any) -> Any:
    match value:
        case dict():
            return {key: _finite(item) for key, item in value.items()}
        case list() | tuple():
            return [_finite(item) for item in value]
        case float() if value - value != 0:
            return None
    return value
