"""What was asked and decided can be recomputed from the record, and what was changed is named."""

import json

import pytest

from orchestrator.proposing.decisions import read_decisions
from orchestrator.study.journal import note, read_journal
from orchestrator.verifying.findings import Report
from orchestrator.verifying.replay import check_decisions, check_suggestions
from tests.searches import CONDITIONAL, NUMBERS, SmallSearch, make_settings

SAMPLERS = {
    "tpe": CONDITIONAL,
    "random": CONDITIONAL,
    "gp": NUMBERS,
    "cmaes": NUMBERS,
    "qmc": NUMBERS,
    "grid": {"a": {"choices": [1, 2, 3]}, "b": {"choices": ["x", "y", "z"]}},
}
PRUNERS = {
    "median": {"n_startup_trials": 1},
    "asha": {"min_resource": 1, "reduction_factor": 2},
    "hyperband": {"min_resource": 1, "reduction_factor": 2},
    "patient": {"patience": 1},
    "threshold": {"upper": 2.0},
}


class Recorded(SmallSearch):
    """A search that keeps a journal, with up to three trials at a time."""

    def restart(self):
        super().restart()
        begun = len(self.trials())
        line = note(self.folder, self.settings, self.asker.space, begun)
        object.__setattr__(self.asker, "journal_line", line)

    def run_side_by_side(self, trials):
        running = []
        for _ in range(trials):
            running.append(self.asker.ask())
            for trial, recipe in running[:]:
                self._step(trial, recipe, running)
            if len(running) == 3:
                self._end(*running[0], running)
        for trial, recipe in running[:]:
            self._end(trial, recipe, running)

    def _step(self, trial, recipe, running):
        step = (self.study._storage.get_trial(trial._trial_id).last_step or 0) + 1
        trial.report(1 / step + trial.number * 7 % 5, step)
        if self.asker.prunes(trial, step):
            from optuna.trial import TrialState

            self.study.tell(trial, state=TrialState.PRUNED)
            running.remove((trial, recipe))

    def _end(self, trial, recipe, running):
        if (trial, recipe) in running:
            self.tell(trial, recipe)
            running.remove((trial, recipe))


def verified(search):
    report = Report()
    journal = read_journal(search.folder)
    check_suggestions(report, search.study, journal)
    check_decisions(report, search.study, journal, read_decisions(search.folder))
    return report


@pytest.mark.parametrize("kind", SAMPLERS)
def test_every_suggestion_of_every_sampler_can_be_recomputed(kind, tmp_path):
    sampler = {"kind": kind, **({"n_startup_trials": 3} if kind in ("tpe", "gp") else {})}
    search = Recorded(tmp_path, make_settings(SAMPLERS[kind], sampler, seed=3))
    search.run_side_by_side(9)
    report = verified(search)
    assert (report.found, report.unknown, report.looked["suggestion"]) == ([], [], 9)


@pytest.mark.parametrize("kind", PRUNERS)
def test_every_decision_of_every_pruner_can_be_recomputed(kind, tmp_path):
    pruner = {"kind": kind, **PRUNERS[kind]}
    settings = make_settings(NUMBERS, {"n_startup_trials": 3}, pruner=pruner, seed=1)
    search = Recorded(tmp_path, settings)
    search.run_side_by_side(12)
    report = verified(search)
    assert (report.found, report.unknown) == ([], [])
    assert report.looked["pruning decision"] == len(read_decisions(search.folder)) > 10


def test_suggestions_are_recomputed_under_the_settings_of_their_time(tmp_path):
    search = Recorded(tmp_path, make_settings(NUMBERS, {"kind": "random"}, seed=3))
    search.run(3)
    moved = NUMBERS | {"x": {"low": 2.0, "high": 3.0}}
    search.settings = make_settings(moved, {"kind": "qmc"}, seed=3)
    search.restart()
    search.run(3)
    assert [entry.from_trial for entry in read_journal(search.folder)] == [0, 3]
    report = verified(search)
    assert (report.found, report.looked["suggestion"]) == ([], 6)


def test_a_changed_parameter_and_a_changed_decision_are_named(tmp_path):
    pruner = {"kind": "asha", **PRUNERS["asha"]}
    search = Recorded(tmp_path, make_settings(NUMBERS, {"kind": "random"}, pruner=pruner))
    search.run_side_by_side(6)
    lines = search.folder.decisions.read_text().splitlines()
    changed = json.loads(lines[3])
    changed["prune"] = not changed["prune"]
    lines[3] = json.dumps(changed)
    search.folder.decisions.write_text("\n".join(lines) + "\n")
    trial = search.trials()[2]
    trial.params["x"] += 0.125
    places = [finding.place for finding in verified(search).found]
    assert places == [
        "trial 2",
        f"decisions.jsonl, line 4 (trial {changed['trial']}, step {changed['step']})",
    ]


def test_a_study_without_a_journal_is_said_to_have_none(tmp_path):
    search = SmallSearch(tmp_path, make_settings(NUMBERS, {"kind": "random"}))
    trial, recipe = search.asker.ask()
    trial.set_user_attr("visible", {"finished": "", "running": ""})
    search.tell(trial, recipe)
    report = verified(search)
    assert report.found == []
    assert "before a journal was kept" in report.unknown[0]
