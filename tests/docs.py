"""The pages of the documentation: their blocks, and what a reader is told before each.

A fenced block of `bash` is commands and one of `python` is a program; both are tried by
tests/acceptance/test_docs.py as they stand, unless a comment before the block says what they need
that is not here, or how long they take. Then it is only made sure that they could be typed.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "ARCHITECTURE.md"]

LANGUAGES = {"bash", "python", "yaml", "toml", "text", "mermaid"}
NEEDS = {
    "several GPUs",
    "a W&B account",
    "data of your own",
    "Docker",
    "a PostgreSQL server",
    "a Slurm cluster",
    "a network",
}
TAKES = {"minutes", "hours"}

_FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"<!-- (.+?) -->\n\Z")
_INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int  # of its first line in the page
    language: str
    text: str
    comment: str  # of the reader's, directly before it; may be empty

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}, line {self.line}"

    @property
    def remarks(self) -> dict[str, str]:
        """`needs`, `takes` and `file`, as far as the comment says them."""
        parts = [part.partition(": ") for part in self.comment.split("; ") if part]
        return {key: value for key, _, value in parts}

    @property
    def waits(self) -> bool:
        """Whether it cannot be tried here."""
        return not self.remarks.keys().isdisjoint({"needs", "takes"})

    @property
    def commands(self) -> list[list[str]]:
        """Of a bash block: the words of every command."""
        lines = self.text.replace("\\\n", " ").splitlines()
        words = [shlex.split(line, comments=True) for line in lines]
        return [command for command in words if command]


def blocks(page: Path) -> list[Block]:
    """The page's fenced blocks, in order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for fence in _FENCE.finditer(text):
        before = text[: fence.start()]
        comment = _COMMENT.search(before)
        line = before.count("\n") + 2
        said = comment[1] if comment else ""
        found.append(Block(page, line, fence[1].strip(), fence[2], said))
    return found


def inline_commands(page: Path) -> list[list[str]]:
    """Whole commands within the page's sentences."""
    prose = _FENCE.sub("", page.read_text(encoding="utf-8"))
    spans = [span.replace("\n", " ") for span in _INLINE.findall(prose)]
    whole = [span for span in spans if is_command(span) and " " in span and "…" not in span]
    return [shlex.split(span) for span in whole]


def is_command(line: str) -> bool:
    """Whether a line begins as a command of this project does."""
    return re.match(r"(\$ )?(\./run_|scripts/|tomostudy |python -m )", line) is not None


def links(page: Path) -> list[str]:
    """Where the page's links and pictures lead to within the project."""
    prose = _FENCE.sub("", page.read_text(encoding="utf-8"))
    targets = re.findall(r"\]\(([^)\s]+)\)", prose)
    return [target for target in targets if "://" not in target]


def anchors(page: Path) -> set[str]:
    """What a link may name of a page: its headings, as they are spelled in an address."""
    prose = _FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
