"""Pruning is decided once a step, from what is written down, whatever kills fall in between."""

import itertools

import optuna
import pytest
from optuna.trial import TrialState

from orchestrator.proposing.decisions import read_decisions
from tests.searches import Killed, SmallSearch, make_settings

EPOCHS, TRIALS = 8, 5
RATE = {"rate": {"low": 0.1, "high": 1.0}}
PRUNERS = {
    "median": {"n_startup_trials": 1},
    "asha": {"min_resource": 1, "reduction_factor": 2},
    "hyperband": {"min_resource": 1, "reduction_factor": 2},
    "patient": {"patience": 1},
}


class Pruned(SmallSearch):
    """A search whose trials report a curve; may be killed between any two writes."""

    def go_on(self):
        """What a runner does from the database: the running trial first, then new ones."""
        while len(self.study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))) < TRIALS:
            running = self.study.get_trials(states=(TrialState.RUNNING,))
            trial, _ = self.asker.attach(running[0]) if running else self.asker.ask()
            self.train(trial)

    def train(self, trial):
        for step in range(1, EPOCHS + 1):
            if step not in self.study._storage.get_trial(trial._trial_id).intermediate_values:
                trial.report(curve(trial, step), step)
            if step < EPOCHS and self.asker.prunes(trial, step):
                self.study.tell(trial, state=TrialState.PRUNED)
                return
        self.study.tell(trial, curve(trial, EPOCHS))

    def table(self):
        return [(t.params, t.state, t.intermediate_values, rungs(t)) for t in self.trials()]


def rungs(trial):
    return {key: value for key, value in trial.system_attrs.items() if "rung" in key}


def curve(trial, step):
    return 1.0 / step + (trial.number * 7 % 5) * trial.params["rate"] * (1 + step % 3)


def settings(kind):
    pruner = {"kind": kind, **PRUNERS[kind]}
    return make_settings(RATE, {"kind": "random"}, pruner=pruner, recipe={"epochs": EPOCHS})


def kill_at(search, monkeypatch, when):
    """Before or behind one of the writes that a step consists of, counted over all of them."""
    writes = itertools.count()

    def killed(write):
        def guarded(*arguments, **options):
            now = next(writes)
            if now == when:
                raise Killed
            write(*arguments, **options)
            if now == when - 0.5:
                raise Killed

        return guarded

    storage = search.study._storage
    for name in ("set_trial_intermediate_value", "set_trial_system_attr"):
        monkeypatch.setattr(storage, name, killed(getattr(storage, name)))
    module = "orchestrator.proposing.decisions.append_line"
    from orchestrator.proposing import decisions

    monkeypatch.setattr(module, killed(decisions.append_line))


@pytest.mark.parametrize(
    "kind",
    [
        "median",
        "asha",
        pytest.param("hyperband", marks=pytest.mark.long),
        pytest.param("patient", marks=pytest.mark.long),
    ],
)
def test_a_kill_between_any_two_writes_of_a_decision_changes_no_decision(
    kind, tmp_path, monkeypatch
):
    unbroken = Pruned(tmp_path / "unbroken", settings(kind))
    unbroken.go_on()
    assert TrialState.PRUNED in [state for _, state, _, _ in unbroken.table()]
    broken = Pruned(tmp_path / "broken", settings(kind))
    kills = 0
    for when in itertools.count(0):
        with monkeypatch.context() as patched:
            kill_at(broken, patched, when % 3 + (when % 2) / 2)
            try:
                broken.go_on()
                break
            except Killed:
                kills += 1
        broken.restart()
    assert kills > 10
    assert broken.table() == unbroken.table()


def test_what_a_decision_could_see_is_written_down_with_it(tmp_path):
    search = Pruned(tmp_path, settings("median"))
    first, second = search.asker.ask()[0], search.asker.ask()[0]
    first.report(0.5, 1)
    assert not search.asker.prunes(first, 1)
    second.report(0.7, 1)
    assert not search.asker.prunes(second, 1)
    search.study.tell(first, 0.5)
    second.report(0.9, 2)
    search.asker.prunes(second, 2)
    views = [decision.view for decision in read_decisions(search.folder)]
    assert [(view.finished, view.running, view.known) for view in views] == [
        ("", "1", {}),
        ("", "0", {0: 1}),
        ("0", "", {}),
    ]


def test_of_the_decisions_those_of_trials_that_go_on_are_taken_up(tmp_path):
    search = Pruned(tmp_path, settings("asha"))
    ended, going, other = (search.asker.ask()[0] for _ in range(3))
    for trial in (ended, going, other):
        trial.report(0.5, 1)
        search.asker.prunes(trial, 1)
    search.study.tell(ended, 0.5)
    assert {d.trial for d in read_decisions(search.folder)} == {0, 1, 2}
    search.restart()
    assert set(search.asker._decisions._last) == {1, 2}


def test_no_pruner_writes_no_decisions(tmp_path):
    search = Pruned(tmp_path, make_settings(RATE, {}, pruner={"kind": "none"}))
    trial, _ = search.asker.ask()
    trial.report(1.0, 1)
    assert not search.asker.prunes(trial, 1)
    assert not search.folder.decisions.exists()


@pytest.mark.parametrize("value", [float("inf"), float("-inf")])
def test_infinite_rungs_are_kept(tmp_path, value):
    search = Pruned(tmp_path, settings("asha"))
    trial, _ = search.asker.ask()
    trial.report(value, 1)
    search.asker.prunes(trial, 1)
    assert read_decisions(search.folder)[0].marks["completed_rung_0"] == value


def test_samplers_see_one_bracket_of_hyperband_from_the_first_ask_on(tmp_path):
    search = Pruned(tmp_path, settings("hyperband"))
    search.go_on()
    search.restart()
    bracket = [search.study.pruner._get_bracket_id(search.study, t) for t in search.trials()]
    assert len(set(bracket)) > 1
    frozen = search.trials()[0]
    seen = optuna.pruners._filter_study(search.study, frozen).get_trials(deepcopy=False)
    assert [t.number for t in seen] == [n for n, b in enumerate(bracket) if b == bracket[0]]
