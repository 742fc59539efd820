"""Families from outside the project, found and loaded in a process that can be thrown away."""

import sys

import pytest

from models.registry import import_file, known_families, load_family
from protocol.errors import DataError, SettingsError
from tests.plugged import OTHER_FAMILY, install, write_family


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """A folder of installed packages, on the path for one test."""
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if name.startswith("plugged_"):
            del sys.modules[name]


@pytest.fixture(autouse=True)
def same_path(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))


def test_a_class_in_a_file_is_a_family(tmp_path):
    path = write_family(tmp_path / "other.py")
    family = load_family(f"{path}:Other")
    assert family.__name__ == "Other"
    assert load_family(f"{path}:Other") is family


def test_files_of_one_name_in_two_folders_are_two_families(tmp_path):
    for folder, name in (("one", "First"), ("two", "Second")):
        (tmp_path / folder).mkdir()
        write_family(tmp_path / folder / "mine.py", name)
    assert load_family(f"{tmp_path}/one/mine.py:First").__name__ == "First"
    assert load_family(f"{tmp_path}/two/mine.py:Second").__name__ == "Second"


def test_a_family_file_may_import_what_lies_beside_it(tmp_path):
    (tmp_path / "plugged_layers.py").write_text("width = 5\n")
    path = write_family(tmp_path / "mine.py", more="from plugged_layers import width")
    load_family(f"{path}:Other")
    assert import_file(path).width == 5


def test_what_lies_beside_a_family_file_does_not_shadow_the_project(tmp_path):
    (tmp_path / "models.py").write_text("raise RuntimeError('the wrong module')\n")
    path = write_family(tmp_path / "mine.py", more="import models.blocks.images.metrics")
    assert load_family(f"{path}:Other")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import gone_with_the_wind\n", "ModuleNotFoundError.*gone_with_the_wind.*line 1"),
        ("x = 1\nclass Other(:\n", r"SyntaxError.*line 2"),
        ("x = 1\n\ny = x / 0\n", r"ZeroDivisionError.*line 3"),
    ],
)
def test_a_family_file_that_cannot_be_imported_says_why_and_where(tmp_path, text, said):
    path = tmp_path / "broken.py"
    path.write_text(text)
    with pytest.raises(SettingsError, match=rf"^family: {path} cannot be imported: {said}"):
        load_family(f"{path}:Other")


def test_a_family_file_that_was_mended_can_be_imported(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("1 / 0\n")
    with pytest.raises(SettingsError):
        load_family(f"{path}:Other")
    write_family(path)
    assert load_family(f"{path}:Other")


def test_a_sentence_that_a_family_file_has_for_the_user_reaches_him(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("from protocol.errors import DataError\nraise DataError('no licence')\n")
    with pytest.raises(DataError, match=r"^no licence$"):
        load_family(f"{path}:Other")


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("{folder}/gone.py:Other", r"there is no file .*gone\.py"),
        ("{folder}/note.txt:Other", r"note\.txt is not a Python file"),
        ("{folder}/mine.py:Another", r"mine\.py has no complete Family class named 'Another'"),
        ("{folder}/mine.py:width", r"mine\.py has no complete Family class named 'width'"),
    ],
)
def test_a_reference_that_leads_nowhere_says_what_is_missing(tmp_path, reference, said):
    (tmp_path / "note.txt").write_text("width = 3\n")
    write_family(tmp_path / "mine.py", more="width = 3")
    with pytest.raises(SettingsError, match=rf"^family: .*{said}"):
        load_family(reference.format(folder=tmp_path))


def test_a_class_that_lacks_a_method_is_refused_with_its_name(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(OTHER_FAMILY.format(name="Other").replace("def evaluate", "def judge"))
    with pytest.raises(SettingsError, match=r"expected a class .* and has evaluate$"):
        load_family(f"{path}:Other")


def test_an_installed_package_offers_a_family_by_name(packages):
    install(packages, "other", write_family(packages / "plugged_other.py"))
    assert load_family("other").__name__ == "Other"
    assert {"other", "fbp_window"} <= set(known_families())


def test_what_packages_offer_is_listed_without_importing_it(packages):
    (packages / "plugged_heavy.py").write_text("raise RuntimeError('imported')\n")
    install(packages, "heavy", packages / "plugged_heavy.py")
    with pytest.raises(SettingsError, match=r"no family 'hevy'; known are .*fbp_window.*heavy"):
        load_family("hevy")


def test_a_broken_package_is_named(packages):
    (packages / "plugged_broken.py").write_text("import gone_with_the_wind\n")
    install(packages, "broken", packages / "plugged_broken.py", package="shaky", version="2.1")
    with pytest.raises(
        SettingsError,
        match=r"^family: 'broken' is offered by shaky 2\.1 \(plugged_broken:Other\), but cannot be "
        r"imported: ModuleNotFoundError: .*gone_with_the_wind.*mend that package or uninstall it$",
    ):
        load_family("broken")


def test_a_package_that_offers_something_else_is_named(packages):
    (packages / "plugged_empty.py").write_text("Other = 3\n")
    install(packages, "empty", packages / "plugged_empty.py", package="shaky", version="2.1")
    with pytest.raises(SettingsError, match=r"shaky 2\.1 .* no complete Family class"):
        load_family("empty")


def test_a_name_that_two_packages_offer_is_refused(packages):
    path = write_family(packages / "plugged_other.py")
    install(packages, "other", path, package="one")
    install(packages, "other", path, package="two")
    with pytest.raises(SettingsError, match=r"'other' is offered by one 1\.0 .* and two 1\.0"):
        load_family("other")


def test_a_package_met_twice_on_the_path_is_one(packages, tmp_path, monkeypatch):
    path = write_family(packages / "plugged_other.py")
    install(packages, "other", path)
    again = tmp_path / "again"
    again.mkdir()
    install(again, "other", path)
    monkeypatch.syspath_prepend(again)
    assert load_family("other").__name__ == "Other"


def test_the_projects_own_family_wins_over_a_packages_and_says_so(packages, caplog):
    install(packages, "fbp_window", write_family(packages / "plugged_other.py"), package="rival")
    assert load_family("fbp_window").__module__ == "models.families.fbp_window"
    assert "rival 1.0" in caplog.text
