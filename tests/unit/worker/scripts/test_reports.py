"""Rows become epochs, each reported once over all attempts."""

import math

from worker.scripts.reports import Reporter
from worker.scripts.sources import Row, Source, Stdout


class Given(Source):
    """Rows that are handed over."""

    def __init__(self):
        self.waiting = []

    def rows(self):
        given, self.waiting = self.waiting, []
        yield from given


def reporter(tmp_path, *, told=(), resumed=False, source=None, wanted=()):
    return Reporter(
        source=source or Given(),
        metric="psnr",
        state=tmp_path / "counting.json",
        told=set(told),
        resumed=resumed,
        wanted=frozenset(wanted),
    )


def reported(made, *rows):
    made.source.waiting = [Row(epoch, metrics) for epoch, metrics in rows]
    return [(report.epoch, report.metrics) for report in made.new()]


def test_an_epoch_is_reported_once_its_objective_is_known_with_what_else_was_said(tmp_path):
    made = reporter(tmp_path)
    assert reported(made, (1, {"loss": 0.5})) == []
    assert reported(made, (1, {"psnr": 30.0}), (1, {"late": 1.0})) == [
        (1, {"loss": 0.5, "psnr": 30.0})
    ]


def test_a_script_that_counts_from_0_is_counted_from_1_after_an_interruption_too(tmp_path):
    assert reported(reporter(tmp_path), (0, {"psnr": 1.0}), (1, {"psnr": 2.0})) == [
        (1, {"psnr": 1.0}),
        (2, {"psnr": 2.0}),
    ]
    again = reporter(tmp_path, told=[1, 2], resumed=True)
    assert reported(again, (1, {"psnr": 2.5}), (2, {"psnr": 3.0})) == [(3, {"psnr": 3.0})]


def test_a_script_that_counts_from_1_keeps_its_numbers(tmp_path):
    assert reported(reporter(tmp_path), (1, {"psnr": 1.0})) == [(1, {"psnr": 1.0})]
    again = reporter(tmp_path, told=[1])
    assert reported(again, (1, {"psnr": 9.0}), (2, {"psnr": 2.0})) == [(2, {"psnr": 2.0})]


def test_without_a_count_reports_are_counted(tmp_path):
    made = reporter(tmp_path)
    rows = [(None, {"psnr": 1.0}), (None, {"loss": 1.0}), (None, {"psnr": 2.0})]
    assert [epoch for epoch, _ in reported(made, *rows)] == [1, 2]


def test_what_is_printed_without_a_count_goes_on_where_the_attempt_before_ended(tmp_path):
    log = tmp_path / "log"
    log.touch()
    made = reporter(
        tmp_path, told=[1, 2, 3], resumed=True, source=Stdout(log, [r"psnr (?P<psnr>\d+)"])
    )
    log.write_text("psnr 7\n")
    assert [report.epoch for report in made.new()] == [4]


def test_a_count_in_fractions_is_remembered_and_not_reported(tmp_path):
    made = reporter(tmp_path)
    assert reported(made, (0.5, {"psnr": 1.0})) == []
    assert made.fractional == 0.5


def test_a_metric_that_is_not_finite_is_known_before_the_objective_is(tmp_path):
    made = reporter(tmp_path)
    assert reported(made, (4, {"loss": math.nan})) == []
    early = made.diverged()
    assert early is not None
    assert (early.epoch, list(early.infinite)) == (4, ["loss"])


def test_metrics_that_are_not_wanted_end_nothing(tmp_path):
    made = reporter(tmp_path, wanted=["loss"])
    assert reported(made, (1, {"dice": math.nan, "loss": 0.5})) == []
    assert made.diverged() is None
    assert reported(made, (1, {"psnr": 30.0})) == [(1, {"loss": 0.5, "psnr": 30.0})]
    assert made.seen == {"dice", "loss", "psnr"}


def test_rows_that_come_to_nothing_are_forgotten(tmp_path):
    made = reporter(tmp_path)
    assert reported(made, *((step, {"loss": 1.0}) for step in range(1, 5000))) == []
    assert len(made._pending) == 100
    assert reported(made, (5000, {"psnr": 30.0})) == [(5000, {"psnr": 30.0})]
