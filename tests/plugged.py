"""Writes families outside the project: as files, and as installed packages."""

from __future__ import annotations

from pathlib import Path

OTHER_FAMILY = """\
from models.family import Family, FamilySettings


class {name}(Family):
    Settings = FamilySettings
    Data = FamilySettings
    metrics = {{"error": "minimize"}}

    def dataset(self, split):
        return []

    def build_model(self):
        raise NotImplementedError

    def losses(self, model, batch):
        raise NotImplementedError

    def evaluate(self, model, batch):
        raise NotImplementedError

    def pictures(self, model, batch):
        raise NotImplementedError
"""


def write_family(path: Path, name: str = "Other", *, more: str = "") -> Path:
    """A file with a family that has every method; `more` comes before it."""
    path.write_text(f"{more}\n{OTHER_FAMILY.format(name=name)}")
    return path


def install(
    folder: Path,
    family: str,
    module: Path,
    class_name: str = "Other",
    *,
    package: str = "plugged",
    version: str = "1.0",
) -> None:
    """What pip leaves in `folder` of a package that offers `class_name` of `module`."""
    info = folder / f"{package}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(
        f"[tomostudy.families]\n{family} = {module.stem}:{class_name}\n"
    )
