"""A real study's report and gallery, looked at as people look at them."""

import json
import re
from importlib.metadata import version

import pytest
import yaml

from orchestrator.study.find import read_study
from protocol.messages import load_plan
from tests.browser import needs_chromium, printed, seen
from tests.studio import Studio

MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def studio(tmp_path_factory, launcher):
    """A study of six trials, its report written by the search itself."""
    studio = Studio(tmp_path_factory.mktemp("shown"), launcher=launcher)
    studio.change(n_trials=6, pictures=2, report=True, recipe={"epochs": 3})
    studio.change(search={"width": {"low": 2, "high": 5}})
    code, output = studio.run()
    assert code == 0, output
    assert f"The report: {studio.folder.report}" in output
    return studio


@pytest.fixture(scope="module")
def gallery(studio):
    """The page of three of its trials."""
    path = studio.path / "gallery.html"
    arguments = ["gallery", *studio.where, "--trials", "0,best,3", "--out", str(path)]
    code, output = studio.run_with(arguments)
    assert code == 0, output
    return path


@pytest.fixture(scope="module")
def report(studio):
    """The report as a browser shows it, and what its console told."""
    script = """
        const all = (selector, of = document) => [...of.querySelectorAll(selector)];
        const traces = (plot) => plot.data.map(({ x, y }) => ({ x: x && [...x], y: y && [...y] }));
        const cells = (row) => [...row.cells].map((cell) => cell.innerText.trim());
        return {
            plots: all(".js-plotly-plot").map((plot) => ({
                name: plot.id, drawn: all("svg, canvas", plot).length, data: traces(plot),
            })),
            table: all("#table tr").map(cells),
            text: all("#asked, #best, #methods").map((part) => part.innerText).join(" "),
            images: all("img").map((image) => image.naturalWidth),
        };"""
    return seen(studio.folder.report, script)


def rounded(value):
    return float(f"{value:.5g}") if isinstance(value, float) else value


@needs_chromium
def test_the_report_draws_everything_and_its_console_stays_silent(report, studio):
    found, told = report
    assert told == []
    assert [plot["name"] for plot in found["plots"]] == [
        f"plot-{name}"
        for name in (
            "history", "curves", "endings", "importance", "slices", "contour", "parallel"
        )
    ]  # fmt: skip
    assert all(plot["drawn"] > 1 for plot in found["plots"])
    assert len(found["images"]) > 4
    assert all(width > 0 for width in found["images"])
    assert studio.folder.report.stat().st_size < 20 * MEGABYTE


@needs_chromium
def test_the_table_is_the_studys(report, studio):
    head, *rows = report[0]["table"]
    names = [name.rstrip(" ▲▼") for name in head]
    record = read_study(studio.folder)
    assert len(rows) == len(record.trials) == 6
    for row in rows:
        cells = dict(zip(names, row, strict=True))
        trial = record.trial(int(cells["trial"]))
        assert cells["state"] == trial.state
        assert float(cells["error"]) == rounded(trial.value)
        assert {key: float(cells[key]) for key in trial.params} == pytest.approx(
            {key: rounded(value) for key, value in trial.params.items()}
        )
        assert float(cells["psnr"]) == rounded(trial.metrics["psnr"])
    values = [float(row[names.index("error")]) for row in rows]
    assert values == sorted(values)


@needs_chromium
def test_plots_hold_no_value_that_is_not_in_the_study(report, studio):
    plots = {plot["name"]: plot["data"] for plot in report[0]["plots"]}
    trials = studio.trials()
    values = {trial.value for trial in trials}
    drawn = {y for trace in plots["plot-history"] for y in trace["y"] or ()}
    assert drawn == values
    told = {tuple(t.intermediate_values.values()) for t in trials}
    assert {tuple(trace["y"]) for trace in plots["plot-curves"]} == told
    assert {y for trace in plots["plot-slices"] for y in trace["y"]} == values


@needs_chromium
def test_the_words_hold_no_number_that_is_not_the_studys(report, studio):
    record, folder = read_study(studio.folder), studio.folder
    known = [vars(trial) for trial in record.trials] + [dict(record.counts)]
    known += [yaml.safe_load(folder.settings.read_text())]
    known += [load_plan(folder.trial(record.best.number).plan).model_dump(mode="json")]
    text = json.dumps(known, default=str) + version("optuna") + str(len(record.trials))
    numbers = r"\d+(?:\.\d+)?(?:e-?\d+)?"
    there = {rounded(float(number)) for number in re.findall(numbers, text)}
    there |= {2011.0}  # of the estimator's publication
    shown = re.findall(numbers, report[0]["text"].replace("fingerprint", ""))
    assert len(shown) > 15
    strange = [n for n in shown if rounded(float(n)) not in there and n not in text]
    assert strange == []


@needs_chromium
def test_the_report_fits_a_telephone_and_a_sheet_of_paper(studio, tmp_path):
    script = """return {
        wide: document.documentElement.scrollWidth,
        plots: [...document.querySelectorAll(".main-svg")]
            .map((plot) => plot.getBoundingClientRect().right),
    };"""
    found, told = seen(studio.folder.report, script, width=390)
    assert told == []
    assert found["wide"] <= 390
    assert found["plots"]
    assert max(found["plots"]) <= 390
    assert 4 <= printed(studio.folder.report, tmp_path / "report.pdf") <= 20


@needs_chromium
def test_the_gallery_shows_zooms_and_lays_over(gallery):
    script = """
        const root = document.getElementById("viewer");
        const of = (name) => root.querySelector(`[data-of="${name}"]`);
        const images = () => [...root.querySelectorAll(".frame img")];
        const frames = () => [...root.querySelectorAll(".tile")].map((tile) => {
            const image = tile.querySelector("img");
            return {
                label: tile.querySelector("b").innerText, wide: image.naturalWidth,
                moved: image.style.transform, source: image.src.length,
            };
        });
        const change = (name, value) => {
            const part = of(name);
            if (part.type === "checkbox") part.checked = value; else part.value = value;
            part.dispatchEvent(new Event(part.type === "range" ? "input" : "change"));
        };
        const steps = { plain: frames() };
        change("zoom", 4);
        steps.zoomed = frames();
        change("difference", true);
        steps.difference = frames();
        steps.scale = of("scale").innerText;
        change("mode", "curtain");
        steps.curtain = images().map((image) => image.style.clipPath);
        change("mode", "flicker");
        steps.flicker = images().length;
        steps.wide = document.documentElement.scrollWidth;
        return steps;"""
    found, told = seen(gallery, script, width=390)
    assert told == []
    labels = [tile["label"] for tile in found["plain"]]
    assert labels[:2] == ["target", "Trial 0"]
    assert len(labels) in (3, 4)  # the best may be one of the others
    assert all(tile["wide"] == 8 for tile in found["plain"])
    assert {tile["moved"] for tile in found["zoomed"]} == {"scale(4) translate(-37.5%, -37.5%)"}
    changed = [
        one["source"] != other["source"]
        for one, other in zip(found["plain"], found["difference"], strict=True)
    ]
    assert changed == [False] + [True] * (len(labels) - 1)
    assert "the same for all trials" in found["scale"]
    assert found["curtain"] == ["", "inset(0px 0px 0px 50%)"]
    assert found["flicker"] == 2
    assert found["wide"] <= 390


@needs_chromium
def test_a_page_that_asked_for_something_elsewhere_would_be_caught(gallery):
    asking = gallery.with_name("asking.html")
    image = '<img src="https://example.org/x.png">'
    asking.write_text(gallery.read_text().replace("<main>", f"<main>{image}"))
    _, told = seen(asking, "return 1;")
    assert any("Content Security Policy" in line for line in told)
