"""The report: one page with all that a study found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from orchestrator.reporting.confirmation_note import EXPLANATION, interval
from orchestrator.showing import asked, hours, plots
from orchestrator.showing.gallery import Gallery, gallery_of, kept_cases
from orchestrator.showing.importance import importance
from orchestrator.showing.look import Look
from orchestrator.showing.methods import methods
from orchestrator.showing.page import picture_url, plotly_script, rendered
from orchestrator.showing.table import table
from orchestrator.study.record import TrialRecord

MOST_IMAGES = 8_000_000  # characters: with plotly's 5 MB a page stays well below 20 MB
_GALLERY_TRIALS, _PICTURES = 6, 4


def report(look: Look) -> str:
    """The report as HTML."""
    found = importance(look)
    two = varying(look, found.shares if found else look.searched)[:2]
    return rendered(
        "report.html",
        look=look,
        counts=look.record.counts,
        goal=asked.goal(look),
        facts=asked.facts(look),
        space=asked.space(look),
        conditional=any(condition for _, condition in asked.space(look).values()),
        settings=asked.settings_text(look),
        pictures=_pictures(look),
        interval=interval,
        explanation=" ".join(EXPLANATION).replace("`", ""),
        gallery=_gallery(look),
        course=[plots.history(look), plots.curves(look), plots.endings(look)],
        mattered=[
            plots.importances(look, found),
            plots.slices(look, two),
            plots.contour(look, two),
            plots.parallel(look),
        ],
        hours=hours.uses(look),
        hours_told=hours.told(look),
        table=table(look),
        commands=asked.commands(look),
        inputs=asked.inputs(look),
        surroundings=asked.surroundings(look),
        methods=methods(look),
        plotly=plotly_script(),
    )


def varying(look: Look, keys: Iterable[str]) -> list[str]:
    """The keys that have several values among the trials that can be the best."""
    return [
        key
        for key in keys
        if len({trial.params[key] for trial in look.record.ranked if key in trial.params}) > 1
    ]


def leading_trials(look: Look, most: int = _GALLERY_TRIALS) -> list[TrialRecord]:
    """The best trials, those that kept something to see."""
    seen = (trial for trial in look.record.ranked if _kept(look, trial))
    return [trial for trial, _ in zip(seen, range(most), strict=False)]


def _kept(look: Look, trial: TrialRecord) -> bool:
    return any(look.folder.trial(trial.number).panels.glob("*.panels"))


def _gallery(look: Look) -> Gallery:
    trials = leading_trials(look)
    return gallery_of(look, trials, kept_cases(look, trials), MOST_IMAGES)


def _pictures(look: Look) -> Sequence[tuple[str, str]]:
    """The best trial's own: names and addresses within the page."""
    if look.best is None:
        return []
    found: list[Path] = sorted(look.folder.trial(look.best.number).pictures.glob("*.png"))
    chosen: list[tuple[str, str]] = []
    room = MOST_IMAGES // 2
    for path in found[:_PICTURES]:
        url = picture_url(path)
        room -= len(url)
        if room > 0 or not chosen:
            chosen.append((path.name, url))
    return chosen
