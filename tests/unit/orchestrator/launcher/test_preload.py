import sys

import pytest

from orchestrator.launcher.preload import clash, modules_of
from tests.plugged import install, write_family


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """A folder of installed packages, on the path for one test."""
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


def test_of_the_projects_own_family_its_module_is_imported_ahead():
    assert modules_of("fbp_window") == ("models.families.fbp_window",)


def test_where_models_are_cut_torchs_pipelining_is_imported_ahead_too():
    assert "worker.pipeline.guard" in modules_of("fbp_window", stages=3)


def test_of_a_packages_family_its_module_is_and_not_before(packages):
    (packages / "plugged_heavy.py").write_text("raise RuntimeError('imported')\n")
    install(packages, "heavy", packages / "plugged_heavy.py")
    assert modules_of("heavy") == ("plugged_heavy",)
    assert "plugged_heavy" not in sys.modules


def test_of_a_family_file_the_installed_libraries_are_and_not_the_file(tmp_path):
    (tmp_path / "beside.py").touch()
    path = tmp_path / "mine.py"
    path.write_text(
        "import torch.nn, scipy.ndimage as nd\nfrom scipy.signal import hilbert\n"
        "from beside import layer\nfrom . import sister\nimport gone_with_the_wind\n"
        "def later():\n    import matplotlib\n"
    )
    assert modules_of(f"{path}:Mine") == ("torch.nn", "scipy.ndimage", "scipy.signal")


@pytest.mark.parametrize("text", [None, "def (:\n", "x = '\0'\n"], ids=["gone", "torn", "binary"])
def test_of_a_file_that_cannot_be_read_nothing_is(tmp_path, text):
    if text is not None:
        (tmp_path / "mine.py").write_text(text)
    assert modules_of(f"{tmp_path}/mine.py:Mine") == ()


def test_of_a_family_that_is_not_there_nothing_is():
    assert modules_of("gone") == ()


def test_a_package_that_uses_one_of_the_projects_names_is_named(packages):
    path = write_family(packages / "plugged_other.py")
    install(packages, "fbp_window", path, package="rival")
    install(packages, "other", path)
    assert "rival" in clash("fbp_window")
    assert modules_of("fbp_window") == ("models.families.fbp_window",)
    assert clash("other") is None
    assert clash(f"{path}:Other") is None
