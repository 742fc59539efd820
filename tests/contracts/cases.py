"""The families that the contract suite runs over: every one in models/families/, and the README's.

A family is found by itself; of each, `studies/<family>_tiny.yml` says how it is trained here. The
README's family stands for those from outside the project, by its file and as a package.
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
HEADING = "## Add your own family"


@dataclass(frozen=True)
class Case:
    """A family to be held to its contract."""

    name: str
    plugged: bool = False  # from outside the project

    @property
    def packaged(self) -> bool:
        """Whether it is found by the name that an installed package gives it."""
        return self.name == "readme_package"

    def preset(self, shared: Path) -> dict[str, Any]:
        """Its tiny preset, with its data in `shared`."""
        if self.plugged:
            return readme_preset(shared / "readme", packaged=self.packaged)
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
    Case("readme_file", plugged=True),
    Case("readme_package", plugged=True),
]


def readme_blocks() -> dict[str, str]:
    """The README's blocks of code about adding a family, by language."""
    section = (ROOT / "README.md").read_text().split(f"\n{HEADING}\n")[1].split("\n## ")[0]
    return dict(re.findall(r"```(\w+)\n(.*?)```", section, re.DOTALL))


def follow_readme(folder: Path) -> Path:
    """Write the README's family and preset into `folder` as it says; the preset's path."""
    folder.mkdir(parents=True, exist_ok=True)
    blocks = readme_blocks()
    (folder / "denoise.py").write_text(blocks["python"])
    (folder / "denoise.yml").write_text(blocks["yaml"])
    return folder / "denoise.yml"


def install_readme(folder: Path) -> None:
    """The README's family as pip would install its package into `folder`."""
    follow_readme(folder)
    point = re.search(r"^(\w+) = \"(\w+):(\w+)\"$", readme_blocks()["toml"], re.MULTILINE)
    assert point is not None
    name, module, class_name = point.groups()
    if not (folder / "plugged-1.0.dist-info").exists():
        install(folder, name, folder / f"{module}.py", class_name)


def readme_preset(folder: Path, *, packaged: bool) -> dict[str, Any]:
    """The README's preset, its family found by file or by name."""
    preset = yaml.safe_load(follow_readme(folder / "file").read_text())
    preset["family"] = f"{folder / 'file'}/{preset['family']}"
    if packaged:
        install_readme(folder / "packages")
        preset["family"] = "denoise"
    return preset
