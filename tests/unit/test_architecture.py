"""The shape of the house: what import-linter's contracts (pyproject.toml) do not say."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WINGS = ("protocol", "data", "models", "worker", "orchestrator")
MOST_MODULES = 15  # in one folder

FOLDERS = [
    folder
    for wing in WINGS
    for folder in sorted([ROOT / wing, *(ROOT / wing).rglob("*")])
    if folder.is_dir() and folder.name != "__pycache__"
]
names = [folder.relative_to(ROOT).as_posix() for folder in FOLDERS]
every_folder = pytest.mark.parametrize("folder", FOLDERS, ids=names)


@every_folder
def test_a_folder_has_few_enough_modules_to_be_seen_at_a_glance(folder):
    modules = [file.stem for file in folder.glob("*.py") if file.stem != "__init__"]
    assert len(modules) <= MOST_MODULES


@every_folder
def test_a_folder_says_what_it_is_for_in_its_package_and_nowhere_runs_code_there(folder):
    tree = ast.parse((folder / "__init__.py").read_text())
    assert ast.get_docstring(tree)
    others = [node for node in tree.body[1:] if not isinstance(node, ast.Import | ast.ImportFrom)]
    defined = [node for node in others if not _is_list_of_names(node)]
    assert not defined, "a package's face names what others may use; it defines nothing"


def _is_list_of_names(node):
    return isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__"


@every_folder
def test_the_architecture_page_names_every_folder(folder):
    page = (ROOT / "ARCHITECTURE.md").read_text()
    assert f"`{folder.relative_to(ROOT).as_posix()}/`" in page


def test_the_architecture_page_names_no_folder_or_file_that_is_not_there():
    page = (ROOT / "ARCHITECTURE.md").read_text()
    folders = "|".join((*WINGS, "integrations", "tests"))
    paths = re.findall(rf"`((?:{folders})/[\w/.]*)`", page)
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_what_people_copy_into_their_projects_needs_nothing_of_ours():
    for file in (ROOT / "integrations").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [name.name for name in getattr(node, "names", [])]
            assert not {str(name).partition(".")[0] for name in names} & {*WINGS, "scripts"}


def test_unit_tests_lie_where_what_they_test_lies():
    """`test_x.py` tests `x.py`; `test_x_….py` an aspect of it."""
    strays = []
    for test in (ROOT / "tests" / "unit").rglob("test_*.py"):
        place = test.parent.relative_to(ROOT / "tests" / "unit")
        if place == Path():
            continue
        words = test.stem.removeprefix("test_").split("_")
        tried = ["_".join(words[:count]) for count in range(1, len(words) + 1)]
        here = ROOT / place
        known = {file.stem.strip("_") for file in here.glob("*.py")} | {here.name, "imports"}
        if not known & set(tried):
            strays.append(test.relative_to(ROOT).as_posix())
    assert strays == []
