"""The families that the contract suite runs over: every one in models/families/, and the page's.

A family is found by itself; of each, `studies/<family>_tiny.yml` says how it is trained here. That
of docs/own_family.md stands for those from outside the project, by its file and as a package.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from models.registry import known_families
from tests.plugged import install

ROOT = Path(__file__).resolve().parents[2]
FAMILIES = ROOT / "models" / "families"
PAGE = ROOT / "docs" / "own_family.md"


@dataclass(frozen=True)
class Case:
    """A family to be held to its contract."""

    name: str
    plugged: bool = False  # from outside the project

    @property
    def packaged(self) -> bool:
        """Whether it is found by the name that an installed package gives it."""
        return self.name == "own_package"

    def preset(self, shared: Path) -> dict[str, Any]:
        """Its tiny preset, with its data in `shared`."""
        if self.plugged:
            return own_preset(shared / "own", packaged=self.packaged)
        path = ROOT / "studies" / f"{self.name}_tiny.yml"
        assert path.is_file(), f"{self.name} has no tiny preset; write {path.relative_to(ROOT)}"
        preset = yaml.safe_load(path.read_text())
        root = shared / "data" / Path(preset["data"]["root"]).name
        root.parent.mkdir(parents=True, exist_ok=True)
        preset["data"]["root"] = str(root)
        if "parent" in preset:
            # As the orchestrator would resolve it, to the parent family's one training here.
            parent = shared / "trained" / preset.pop("parent")["study"].removesuffix("_tiny")
            preset["recipe"]["parent_file"] = str(parent / "trial_0" / "best.pth")
        return preset

    @property
    def parent(self) -> Case | None:
        """The family whose trained model this one's trials start from."""
        path = ROOT / "studies" / f"{self.name}_tiny.yml"
        section = None if self.plugged else yaml.safe_load(path.read_text()).get("parent")
        return Case(section["study"].removesuffix("_tiny")) if section else None


CASES = [
    *(Case(name) for name in known_families() if (FAMILIES / f"{name}.py").is_file()),
    Case("own_file", plugged=True),
    Case("own_package", plugged=True),
]


def page_blocks() -> dict[str, str]:
    """The page's blocks of code that make up a family of one's own, by language."""
    return dict(re.findall(r"```(python|yaml|toml)\n(.*?)```", PAGE.read_text(), re.DOTALL))


def follow_page(folder: Path) -> Path:
    """Write the page's family and preset into `folder` as it says; the preset's path."""
    folder.mkdir(parents=True, exist_ok=True)
    blocks = page_blocks()
    (folder / "denoise.py").write_text(blocks["python"])
    (folder / "denoise.yml").write_text(blocks["yaml"])
    return folder / "denoise.yml"


def install_page(folder: Path) -> None:
    """The page's family as pip would install its package into `folder`."""
    follow_page(folder)
    point = re.search(r"^(\w+) = \"(\w+):(\w+)\"$", page_blocks()["toml"], re.MULTILINE)
    assert point is not None
    name, module, class_name = point.groups()
    if not (folder / "plugged-1.0.dist-info").exists():
        install(folder, name, folder / f"{module}.py", class_name)


def own_preset(folder: Path, *, packaged: bool) -> dict[str, Any]:
    """The page's preset, its family found by file or by name."""
    preset = yaml.safe_load(follow_page(folder / "file").read_text())
    preset["family"] = f"{folder / 'file'}/{preset['family']}"
    if packaged:
        install_page(folder / "packages")
        preset["family"] = "denoise"
    return preset
