import pytest

from orchestrator.commands.showing.compare import compare_studies
from protocol.errors import SettingsError
from tests.made_study import MadeStudy


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    found = []
    for name, value, epochs in (("one", 24.0, 3), ("other", 25.0, 5)):
        made = MadeStudy(tmp_path_factory.mktemp("runs"), name)
        made.write_settings(recipe={"epochs": epochs})
        made.add(value)
        found.append(made.folder)
    return found


def test_the_screen_says_which_is_better_and_what_differs(folders, capsys):
    compare_studies(folders, None)
    output = capsys.readouterr().out
    assert "The best of other (trial 0) is better than that of one (trial 0) by 1 psnr." in output
    rows = [line.split() for line in output.splitlines()]
    assert ["recipe.epochs", "5", "3"] in rows
    assert ["other", "trial", "0", "25", "1", "0", "0", "-", "-"] in rows


def test_the_page_has_both_curves(folders, tmp_path):
    compare_studies(folders, tmp_path / "c.html")
    page = (tmp_path / "c.html").read_text()
    assert "one, trial 0" in page
    assert "other, trial 0" in page
    assert "is better than that of one" in page


def test_it_takes_two_studies(folders):
    with pytest.raises(SettingsError, match="expected two studies or more"):
        compare_studies([folders[0], folders[0]], None)
