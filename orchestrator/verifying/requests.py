"""Whether what was asked of a study from other shells was done, and nothing beside it."""

from __future__ import annotations

from collections import Counter

import optuna

from orchestrator.steering.requests import Answered, What, read_answers
from orchestrator.steering.trials import reason_to_stop
from orchestrator.study.counting.ignored import ignored_trials
from orchestrator.verifying.findings import Report
from protocol.folders import StudyFolder


def check_requests(report: Report, study: optuna.Study, folder: StudyFolder) -> None:
    """Hold the journal of requests against the study."""
    place = folder.requests_journal.name
    answers = read_answers(folder)
    if answers:
        report.looked["request"] += len(answers)
    for twice, times in Counter(line.id for line in answers).items():
        if times > 1:
            report.add(place, f"request {twice} was taken up {times} times")
    reasons = {t.number: reason_to_stop(t) for t in study.get_trials(deepcopy=False)}
    granted = {
        line.request.trial
        for line in answers
        if line.request and line.request.what is What.STOP_TRIAL and not line.refused
    }
    for number in sorted(n for n in granted if n is not None and not reasons.get(n)):
        report.add(place, f"trial {number} was to be stopped, of which the study does not know")
    under_way = folder.requests.is_dir() and any(folder.requests.iterdir())
    for number, reason in reasons.items():
        if reason and number not in granted and not under_way:
            report.add(f"trial {number}", f"is {reason}, of which {place} does not know")
    if not under_way:
        _check_ignored(report, study, place, answers)


def _check_ignored(
    report: Report, study: optuna.Study, place: str, answers: list[Answered]
) -> None:
    """Whether just those trials are ignored of which that was asked last."""
    wanted = {
        line.request.trial: not line.request.again
        for line in answers
        if line.request and line.request.what is What.IGNORE and not line.refused
    }
    asked = {number for number, so in wanted.items() if so and number is not None}
    ignored = ignored_trials(study).keys()
    for number in sorted(asked ^ ignored):
        knows = "has it" if number in ignored else "does not have it"
        says = "so" if number in asked else "otherwise"
        report.add(f"trial {number}", f"the study {knows} ignored, where {place} says {says}")
