"""Metrics are read wherever people's scripts write them, while they are being written."""

import math

import pytest

from worker.scripts.sources import Csv, Jsonl, Row, Stdout


def appended(path, text):
    with path.open("a") as stream:
        stream.write(text)


def test_a_table_is_read_line_by_line_and_half_a_line_waits(tmp_path):
    table, source = tmp_path / "m.csv", Csv(str(tmp_path / "m.csv"), "epoch")
    assert list(source.rows()) == []
    appended(table, "epoch, psnr,note\n1,30.5,good\n2,3")
    assert list(source.rows()) == [Row(1.0, {"psnr": 30.5})]
    appended(table, "1,\n3,nan,\n")
    second, third = source.rows()
    assert second == Row(2.0, {"psnr": 31.0})
    assert math.isnan(third.metrics["psnr"])


def test_a_header_that_is_written_again_with_another_column_holds_from_there(tmp_path):
    table, source = tmp_path / "m.csv", Csv(str(tmp_path / "m.csv"), "epoch")
    appended(table, "epoch,psnr\n1,30\n")
    assert len(list(source.rows())) == 1
    appended(table, "epoch,loss,psnr\n2,0.5,31\n")
    assert list(source.rows()) == [Row(2.0, {"loss": 0.5, "psnr": 31.0})]


def test_a_table_that_is_begun_anew_is_read_anew(tmp_path):
    table, source = tmp_path / "m.csv", Csv(str(tmp_path / "m.csv"), "epoch")
    table.write_text("epoch,psnr\n1,30\n2,31\n")
    assert len(list(source.rows())) == 2
    table.write_text("psnr,epoch\n29,1\n")
    assert list(source.rows()) == [Row(1.0, {"psnr": 29.0})]


def test_a_pattern_reads_the_tables_of_every_start(tmp_path):
    source = Csv(str(tmp_path / "version_*/m.csv"), "epoch")
    for version in range(2):
        folder = tmp_path / f"version_{version}"
        folder.mkdir()
        (folder / "m.csv").write_text(f"epoch,psnr\n{version},30\n")
        assert list(source.rows()) == [Row(float(version), {"psnr": 30.0})]


def test_a_table_as_spreadsheets_write_it_is_read(tmp_path):
    for text in ("\ufeffepoch;psnr\r\n1;30\r\n", "epoch\tpsnr\n1\t30\n"):
        (tmp_path / "m.csv").write_bytes(text.encode())
        assert list(Csv(str(tmp_path / "m.csv"), "epoch").rows()) == [Row(1.0, {"psnr": 30.0})]


def test_cells_that_are_empty_are_no_metrics(tmp_path):
    (tmp_path / "m.csv").write_text("epoch,loss,psnr\n0,0.5,\n0,,30\n")
    rows = list(Csv(str(tmp_path / "m.csv"), "epoch").rows())
    assert rows == [Row(0.0, {"loss": 0.5}), Row(0.0, {"psnr": 30.0})]


def test_lines_of_json_may_hold_metrics_flat_or_apart(tmp_path):
    (tmp_path / "m.jsonl").write_text(
        '{"epoch": 1, "psnr": 30, "name": "a", "ok": true}\n'
        "not json\n[1]\n"
        '{"epoch": 2, "metrics": {"psnr": "NaN", "mse": "-Infinity"}, "time": 5, "step": 9}\n'
    )
    first, second = Jsonl(tmp_path / "m.jsonl", "epoch").rows()
    assert first == Row(1.0, {"psnr": 30.0})
    assert (second.epoch, *second.metrics) == (2.0, "psnr", "mse")
    assert math.isnan(second.metrics["psnr"])
    assert second.metrics["mse"] == -math.inf


def test_what_is_printed_counts_from_the_attempts_beginning(tmp_path):
    log = tmp_path / "rank0.log"
    log.write_text("epoch 1 psnr 10\n")
    source = Stdout(log, [r"epoch (?P<epoch>\d+) psnr (?P<psnr>[\d.]+)", r"mse (?P<mse>\S+)"])
    appended(log, "warning\nepoch 2 psnr 30.5\nmse inf\nmse none\n")
    psnr, mse, nothing = source.rows()
    assert psnr == Row(2.0, {"psnr": 30.5})
    assert mse == Row(None, {"mse": math.inf})
    assert nothing == Row(None, {})


@pytest.mark.parametrize("kind", [Csv, Jsonl])
def test_what_is_there_grows_with_what_is_written(tmp_path, kind):
    path = tmp_path / "m"
    source = kind(str(path) if kind is Csv else path, "epoch")
    assert source.size() == 0
    path.write_text("x" * 10)
    assert source.size() == 10
