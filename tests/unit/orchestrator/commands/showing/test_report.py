import logging

import pytest

from orchestrator.commands.showing.report import checked, report_study, try_to_report
from protocol.errors import SettingsError
from protocol.folders import StudyFolder
from tests.made_study import MadeStudy


@pytest.fixture
def made(tmp_path):
    made = MadeStudy(tmp_path / "runs")
    made.add(24.0)
    return made


def test_the_report_is_one_page_in_the_studys_folder(made, capsys):
    report_study(made.folder, None)
    page = made.folder.report.read_text()
    assert page.startswith("<!doctype html>")
    assert "trial 0, psnr <strong>24</strong>" in page
    assert str(made.folder.report) in capsys.readouterr().out


def test_another_place_is_taken(made, tmp_path):
    report_study(made.folder, tmp_path / "mine.html")
    assert (tmp_path / "mine.html").exists()
    assert not made.folder.report.exists()


@pytest.mark.parametrize(
    ("name", "said"), [("r.pdf", "expected a name.html"), ("no/r.html", "no folder")]
)
def test_a_place_where_no_page_can_be_is_refused(tmp_path, name, said):
    with pytest.raises(SettingsError, match=said):
        checked(tmp_path / name)


def test_a_report_that_fails_at_a_searchs_end_is_a_line_in_the_log(made, caplog, monkeypatch):
    monkeypatch.setattr("orchestrator.showing.report.report", lambda _: 1 / 0)
    made.folder.report.write_text("the one before")
    with caplog.at_level(logging.ERROR):
        assert not try_to_report(made.folder)
    assert "the report could not be written" in caplog.text
    assert made.folder.report.read_text() == "the one before"


def test_what_people_wrote_cannot_become_part_of_the_page(tmp_path):
    made = MadeStudy(tmp_path / "runs", "x")
    made.write_settings(family="<script>alert(1)</script>")
    made.add(24.0, reason="</script><img src=x onerror=alert(2)>")
    report_study(StudyFolder(made.folder.path), None)
    page = made.folder.report.read_text()
    assert "<script>alert(1)" not in page
    assert "<img src=x" not in page


def test_a_study_that_is_not_there_is_told_as_such(made):
    with pytest.raises(SettingsError, match=r"there is no study 'mad'.*did you mean made"):
        report_study(StudyFolder(made.folder.path.with_name("mad")), None)
