"""What the code imports is declared in pyproject.toml, and what is declared is imported."""

import ast
import re
import sys
import tomllib
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WINGS = ("orchestrator", "worker", "models", "data", "protocol", "integrations")
DISTRIBUTIONS = {  # by what is imported, where that is called otherwise
    "PIL": "pillow",
    "pynvml": "nvidia-ml-py",
    "SimpleITK": "simpleitk",
    "hydra": "hydra-core",
    "astra": "astra-toolbox",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def imported_in(*folders):
    """The distributions that Python files below these folders import, in a function or outside."""
    modules = {
        module
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for module in imported_by(node)
        if not lies_beside(module, path)
    }
    roots = {module.partition(".")[0] for module in modules}
    foreign = roots - sys.stdlib_module_names - {*WINGS, "tests", "benchmarks", "scripts"}
    foreign -= {path.stem for path in (ROOT / "integrations").glob("*.py")}
    return {normalized(DISTRIBUTIONS.get(name, name)) for name in foreign}


def lies_beside(module, path):
    """Whether it is what a program finds in its own folder."""
    return not path.with_name("__init__.py").exists() and path.with_name(f"{module}.py").exists()


def imported_by(node):
    match node:
        case ast.Import(names=names):
            return [name.name for name in names]
        case ast.ImportFrom(module=str(module), level=0):
            return [module]
        case ast.Call(func=ast.Attribute(attr="import_module"), args=[ast.Constant(value=module)]):
            return [module]
    return []


def names_of(requirements):
    return {normalized(re.match(r"[\w.-]+", requirement)[0]) for requirement in requirements}


def normalized(distribution):
    return distribution.lower().replace("_", "-")


NEEDED = names_of(PROJECT["dependencies"])
EXTRAS = names_of(chain.from_iterable(PROJECT["optional-dependencies"].values()))


def test_everything_imported_by_the_program_is_declared_and_everything_declared_is_imported():
    imported = imported_in(*WINGS)
    assert (
        NEEDED
        <= imported
        <= NEEDED
        | names_of(
            chain.from_iterable(
                names for extra, names in PROJECT["optional-dependencies"].items() if extra != "dev"
            )
        )
    )


def test_everything_imported_by_tests_and_benchmarks_is_declared():
    assert imported_in("tests", "benchmarks") <= NEEDED | EXTRAS


def test_everything_declared_is_pinned():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = names_of(line for line in lines if "==" in line)
    assert NEEDED | EXTRAS - {PROJECT["name"]} <= pinned
